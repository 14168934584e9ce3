package api

import (
	"net/http"
	"strconv"
	"strings"

	"lockstep/event"
)

// etag returns the entity tag of a version. It is a strong one: with every
// change of a ticket its version moves on.
func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// known reports whether If-None-Match names the version, by a strong or a weak
// tag, or any (*).
func known(h http.Header, version int64) bool {
	for tag := range strings.SplitSeq(strings.Join(h["If-None-Match"], ","), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag(version) {
			return true
		}
	}
	return false
}

// versionsAsked returns the versions that If-Match names: none if there is no
// such header, or if any will do (*). A weak tag, or what was never a tag of
// ours, is none of a ticket's versions, and there is none for who wants no ticket
// to be there (If-None-Match: *).
func versionsAsked(h http.Header) []int64 {
	if strings.TrimSpace(h.Get("If-None-Match")) == "*" {
		return []int64{event.None}
	}
	lines, asked := h["If-Match"]
	list := strings.Join(lines, ",")
	if !asked || strings.TrimSpace(list) == "*" {
		return nil
	}
	versions := []int64{event.None} // which no ticket has
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimSpace(tag)
		version, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
		if err == nil && tag == etag(version) {
			versions = append(versions, version)
		}
	}
	return versions
}
