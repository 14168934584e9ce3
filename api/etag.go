package api

import (
	"net/http"
	"strconv"
	"strings"

	"lockstep/ticket"
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

// matched reports whether If-Match names the version, by a strong tag, or any (*),
// or is not there.
func matched(h http.Header, version int64) bool {
	lines, asked := h["If-Match"]
	list := strings.Join(lines, ",")
	if !asked || strings.TrimSpace(list) == "*" {
		return true
	}
	for tag := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(tag) == etag(version) {
			return true
		}
	}
	return false
}

// precondition returns whether a version may be changed as far as the headers say:
// it is one that If-Match names, and none that If-None-Match names.
func precondition(h http.Header) ticket.Condition {
	return func(version int64) bool { return matched(h, version) && !known(h, version) }
}
