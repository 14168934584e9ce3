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

// versionsAsked returns the versions that If-Match names: none if there is no
// such header, or if any will do (*). A weak tag, or what was never a tag of
// ours, is none of a ticket's versions.
func versionsAsked(h http.Header) []int64 {
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
