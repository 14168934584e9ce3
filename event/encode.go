package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// timeLayout is a Date of JavaScript: UTC with three decimals.
const timeLayout = "2006-01-02T15:04:05.000Z"

// FormatTime prints a time as JavaScript prints a Date. A year that has not four
// digits has a sign and six, without which nobody reads it.
func FormatTime(t time.Time) string {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return fmt.Sprintf("%+07d", y) + t.Format(timeLayout[len("2006"):])
	}
	return t.Format(timeLayout)
}

// encode writes v as JSON without escaping <, > and &, which no other
// publisher on the bus escapes.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// build completes an event whose payload is v.
func build(s Subject, key string, version int64, at time.Time, v any) (Event, error) {
	if version > MaxVersion {
		return Event{}, fmt.Errorf("%w: version %d is above 2^53, and no consumer takes it", ErrInvalid, version)
	}
	payload, err := encode(v)
	if err != nil {
		return Event{}, err
	}
	if len(payload) > MaxPayload {
		return Event{}, fmt.Errorf("%w: payload of %d bytes is over the limit of %d", ErrInvalid, len(payload), MaxPayload)
	}
	return Event{Key: key, Version: version, Subject: s, Payload: payload, OccurredAt: at.UTC().Truncate(time.Millisecond)}, nil
}
