package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrInvalid is wrapped by every error of the Decode functions: the payload
// cannot be read or breaks the contract, and will do so at every delivery.
var ErrInvalid = errors.New("invalid event")

const (
	// maxID bounds the length of an id in bytes. Ids of the ticketing services
	// have 24; other publishers may use UUIDs or longer keys.
	maxID = 128

	// maxTitle bounds a title in bytes: the owner's API takes bodies of no more.
	maxTitle = 100 << 10

	// maxName bounds what tells payments apart, in bytes. Stripe's ids have 255
	// characters at most.
	maxName = 1000

	// MaxVersion bounds a version: consumers in JavaScript cannot count on from
	// there, and no record is changed so often.
	MaxVersion = 1 << 53
)

// object is a decoded JSON object. Keys are exact: encoding/json would match
// "Version" to version, which no other consumer on the bus does.
type object map[string]json.RawMessage

func decodeObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrInvalid)
	}
	var o object
	err := json.Unmarshal(data, &o)
	if other := (*json.UnmarshalTypeError)(nil); errors.As(err, &other) {
		return nil, fmt.Errorf("%w: not a JSON object: %s", ErrInvalid, other.Value) // array, string, number, bool
	}
	if err != nil {
		return nil, fmt.Errorf("%w: not a JSON object: %w", ErrInvalid, err)
	}
	if o == nil {
		return nil, fmt.Errorf("%w: null is not an object", ErrInvalid)
	}
	return o, nil
}

// absent reports whether key is missing or null, which consumers in JavaScript
// cannot tell apart either.
func (o object) absent(key string) bool {
	raw, ok := o[key]
	return !ok || string(raw) == "null"
}

func (o object) text(key string) (string, error) {
	if o.absent(key) {
		return "", fmt.Errorf("%w: %s is missing", ErrInvalid, key)
	}
	var s string
	if err := json.Unmarshal(o[key], &s); err != nil {
		return "", fmt.Errorf("%w: %s is not a string", ErrInvalid, key)
	}
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%w: %s holds a NUL", ErrInvalid, key)
	}
	return s, nil
}

func (o object) id(key string) (string, error) {
	s, err := o.text(key)
	if err != nil {
		return "", err
	}
	if err := CheckID(s); err != nil {
		return "", fmt.Errorf("%w: %s %w", ErrInvalid, key, err)
	}
	return s, nil
}

// CheckID returns an error, to be read behind the name of what has the id, if no
// event can be of a record with it.
func CheckID(id string) error {
	switch {
	case id == "" || len(id) > maxID:
		return fmt.Errorf("must have 1 to %d bytes", maxID)
	case strings.ContainsFunc(id, unseen):
		return errors.New("holds a space, or what is not seen or was no text")
	}
	return nil
}

// unseen reports whether a character of an id would make a line of a log or a
// terminal read as another one, or stands for bytes that were none.
func unseen(r rune) bool { return r == ' ' || r == unicode.ReplacementChar || !unicode.IsPrint(r) }

func (o object) version(key string) (int64, error) {
	if o.absent(key) {
		return 0, fmt.Errorf("%w: %s is missing", ErrInvalid, key)
	}
	v, err := strconv.ParseInt(string(o[key]), 10, 64)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%w: %s is not a whole number of at least 0", ErrInvalid, key)
	}
	if v > MaxVersion {
		return 0, fmt.Errorf("%w: %s is above 2^53", ErrInvalid, key)
	}
	return v, nil
}

// title reads a text that the owner's API takes as a title.
func (o object) title(key string) (string, error) {
	s, err := o.text(key)
	if err == nil && (s == "" || len(s) > maxTitle) {
		err = fmt.Errorf("%w: %s must have 1 to %d bytes", ErrInvalid, key, maxTitle)
	}
	return s, err
}

// price reads a number that the owner's API takes as a price.
func (o object) price(key string) (float64, error) {
	f, err := o.number(key)
	if err == nil && f <= 0 {
		err = fmt.Errorf("%w: %s is not above 0", ErrInvalid, key)
	}
	return f, err
}

func (o object) number(key string) (float64, error) {
	if o.absent(key) {
		return 0, fmt.Errorf("%w: %s is missing", ErrInvalid, key)
	}
	var f float64
	if err := json.Unmarshal(o[key], &f); err != nil || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%w: %s is not a number", ErrInvalid, key)
	}
	return f, nil
}

// name returns a value that only tells things apart and is not ours to judge,
// but for its length: a string as it is, anything else as it is written, "" if
// it is absent.
func (o object) name(key string) (string, error) {
	if o.absent(key) {
		return "", nil
	}
	s, err := o.text(key)
	if err != nil {
		s = string(o[key])
	}
	if len(s) > maxName {
		return "", fmt.Errorf("%w: %s has more than %d bytes", ErrInvalid, key, maxName)
	}
	return s, nil
}

func (o object) object(key string) (object, error) {
	if o.absent(key) {
		return nil, fmt.Errorf("%w: %s is missing", ErrInvalid, key)
	}
	inner, err := decodeObject(o[key])
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not an object", ErrInvalid, key)
	}
	return inner, nil
}
