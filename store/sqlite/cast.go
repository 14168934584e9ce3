package sqlite

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"lockstep/event"
	records "lockstep/internal/unreadable"
)

// A column keeps a value of any type, whatever the schema says. What other hands
// wrote in another one is read if a CAST of it means the same, and written as
// what it is meant to be; anything else makes the row unreadable.

// errForeign: the value of a column cannot be read.
type errForeign struct{ why string }

func (e *errForeign) Error() string { return e.why }

func mismatch(v any, want string) error {
	return &errForeign{fmt.Sprintf("%.40s is no %s", literal(v), want)}
}

// literal writes a value as SQL does, for people.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return fmt.Sprintf("x'%x'", v)
	case string:
		return strconv.Quote(v)
	}
	return fmt.Sprint(v)
}

// unreadable is a row with a column that cannot be read.
type unreadable struct {
	table, id string
	err       error
}

func (u *unreadable) Error() string { return u.err.Error() }

// named gives the error of a scan the name of its row, if a column was foreign.
func named(table, id string, err error) error {
	var f *errForeign
	if errors.As(err, &f) {
		return &unreadable{table: table, id: id, err: err}
	}
	return err
}

// recordID is the id of a row, or what else queries look for. It must be a text:
// no query finds it otherwise.
type recordID string

// Scan implements sql.Scanner. It sets the id in any case, for the log.
func (id *recordID) Scan(v any) error {
	s, ok := v.(string)
	if *id = recordID(s); ok {
		return nil
	}
	*id = recordID(literal(v))
	return mismatch(v, "text, as what is looked for must be")
}

// ownID is the id of a record. It must be one that an event can have: no other
// service takes it otherwise, and one that is too long for the head of a request
// can be asked for by nobody.
type ownID string

// Scan implements sql.Scanner. It sets the id in any case, for the log.
func (id *ownID) Scan(v any) error {
	if err := (*recordID)(id).Scan(v); err != nil {
		return err
	}
	if err := event.CheckID(string(*id)); err != nil {
		return &errForeign{fmt.Sprint("the id ", err)}
	}
	return nil
}

// entryID is the id of what is no record and is listed all the same.
type entryID string

// Scan implements sql.Scanner. It sets the id in any case, for the log.
func (id *entryID) Scan(v any) error {
	if err := (*recordID)(id).Scan(v); err != nil {
		return err
	}
	if err := records.CheckID(string(*id)); err != nil {
		return &errForeign{err.Error()}
	}
	return nil
}

// text is a string. A number, and a blob that is one, is read as its text.
type text string

// Scan implements sql.Scanner.
func (t *text) Scan(v any) error {
	switch v := v.(type) {
	case string:
		*t = text(v)
	case []byte:
		if !utf8.Valid(v) {
			return mismatch(v, "text")
		}
		*t = text(v)
	case int64:
		*t = text(strconv.FormatInt(v, 10))
	case float64:
		*t = text(strconv.FormatFloat(v, 'g', -1, 64))
	default:
		return mismatch(v, "text")
	}
	return nil
}

// amount is a finite number. Digits in a text are read as their number.
type amount float64

// Scan implements sql.Scanner.
func (a *amount) Scan(v any) error {
	var f float64
	var err error
	switch v := v.(type) {
	case float64:
		f = v
	case int64:
		f = float64(v)
	case string:
		f, err = strconv.ParseFloat(strings.TrimSpace(v), 64)
	case []byte:
		f, err = strconv.ParseFloat(strings.TrimSpace(string(v)), 64)
	default:
		err = errors.ErrUnsupported
	}
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return mismatch(v, "number")
	}
	*a = amount(f)
	return nil
}

// count is a whole number. What it reads as a version, versioned finds.
type count int64

const versioned = "CAST(version AS INTEGER) = ? AND (version = CAST(version AS INTEGER) OR CAST(version AS TEXT) = CAST(CAST(version AS INTEGER) AS TEXT))"

// Scan implements sql.Scanner.
func (c *count) Scan(v any) error {
	var n int64
	ok := true
	switch v := v.(type) {
	case int64:
		n = v
	case float64:
		n, ok = int64(v), v == math.Trunc(v) && math.Abs(v) <= 1<<53
	case string:
		n, ok = digits(v)
	case []byte:
		n, ok = digits(string(v))
	default:
		ok = false
	}
	if !ok {
		return mismatch(v, "whole number")
	}
	*c = count(n)
	return nil
}

// digits reads a whole number in the one form that it has.
func digits(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

// version is a whole number of at least 0. Beyond event.MaxVersion nobody has
// counted, and nobody can count on.
type version int64

// Scan implements sql.Scanner.
func (v *version) Scan(value any) error {
	err := (*count)(v).Scan(value)
	if err == nil && (*v < 0 || *v > event.MaxVersion) {
		err = mismatch(value, "version from 0 to 2^53")
	}
	return err
}

// flag is a boolean: a whole number that is 0 or not.
type flag bool

// Scan implements sql.Scanner.
func (f *flag) Scan(v any) error {
	var n count
	err := n.Scan(v)
	*f = n != 0
	return err
}

// payload is bytes, whether it was written as a blob or as a text.
type payload []byte

// Scan implements sql.Scanner.
func (p *payload) Scan(v any) error {
	switch v := v.(type) {
	case string:
		*p = payload(v)
	case []byte:
		*p = append(payload(nil), v...) // the driver's own until the next row
	default:
		return mismatch(v, "payload")
	}
	return nil
}
