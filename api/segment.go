package api

import (
	"fmt"
	"strings"

	"lockstep/internal/objectid"
)

// Segment returns an id as one segment of a path, which no server, and nobody on
// the way, takes for anything else: whatever has the form of no id of ours is
// escaped to its first letter, so that it is not the name of another route, nor
// "." or "..". Whoever publishes events chooses their ids.
func Segment(id string) string {
	if _, ours := objectid.Parse(id); ours {
		return id
	}
	var b strings.Builder
	for i := range len(id) {
		switch c := id[i]; {
		case i > 0 && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
