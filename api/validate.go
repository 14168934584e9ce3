package api

import (
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"lockstep/internal/objectid"
	"lockstep/ticket"
)

// float is what validator.js takes for a number in isFloat.
var float = regexp.MustCompile(`^[-+]?[0-9]*(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)

// readDraft reads title and price: first validated on their string forms, both
// reported together, then converted. A value that passes the validation but is
// of no convertible kind is answered as the originals answer it.
func readDraft(b body) (ticket.Draft, error) {
	title, price := b.field("title"), b.field("price")
	var invalid []entry
	if title.form() == "" {
		invalid = append(invalid, entry{Message: "Title is required", Field: "title"})
	}
	amount, ok := parsePrice(price.form())
	if !ok {
		invalid = append(invalid, entry{Message: "Price must be greater than 0", Field: "price"})
	}
	if len(invalid) > 0 {
		return ticket.Draft{}, &problem{status: http.StatusBadRequest, entries: invalid}
	}
	if k := title.kind(); k == jsArray || k == jsObject {
		return ticket.Draft{}, errUnsuitable
	}
	if price.kind() == jsArray || strings.ContainsRune(title.String(), 0) {
		return ticket.Draft{}, errUnsuitable // no consumer in C takes a NUL, and no person writes one
	}
	return ticket.Draft{Title: title.String(), Price: amount}, nil
}

// parsePrice reads the string form of a price, which must be a finite number
// above 0.
func parsePrice(form string) (float64, bool) {
	if !float.MatchString(form) {
		return 0, false
	}
	f, err := strconv.ParseFloat(form, 64)
	return f, err == nil && f > 0 && !math.IsInf(f, 0)
}

// readID returns the canonical form of an id from a path or body, and whether
// it is one for MongoDB: 24 hexadecimal digits, or any 12 bytes, which no
// record of ours has.
func readID(id string) (string, bool) {
	if canonical, ok := objectid.Parse(id); ok {
		return canonical, true
	}
	return id, len(id) == 12
}

// readTicketID reads the ticketId of a reservation. A missing one breaks two
// rules, a malformed one the second only.
func readTicketID(b body) (string, error) {
	v := b.field("ticketId")
	id, ok := readID(v.form())
	if ok && v.kind() == jsString {
		return id, nil
	}
	var invalid []entry
	if v.form() == "" {
		invalid = append(invalid, entry{Message: "Invalid value", Field: "ticketId"})
	}
	invalid = append(invalid, entry{Message: "TicketId must be provided", Field: "ticketId"})
	return "", &problem{status: http.StatusBadRequest, entries: invalid}
}
