package event

import (
	"strconv"
	"time"
)

// MaxPayload is the largest payload, in bytes, that may enter an outbox. The
// broker refuses messages over 1 MiB with its envelope; MongoDB change streams
// stumble over documents near 16 MB. 900 KiB leaves room on both sides.
const MaxPayload = 900 << 10

// Event is a fact about one version of one record, as it waits in an outbox
// and as it travels.
type Event struct {
	Key        string    // id of the record; events of one key are published in version order
	Version    int64     // version of the record that the event announces
	Subject    Subject   // where it is published
	Payload    []byte    // the whole message, exactly as published
	OccurredAt time.Time // when the change was decided: UTC, whole milliseconds
}

// ID returns key:version:subject. It is derived, never generated, so that a
// commit which is tried again collides with itself instead of writing the
// event twice.
func (e Event) ID() string {
	return e.Key + ":" + strconv.FormatInt(e.Version, 10) + ":" + string(e.Subject)
}

// Outcome is what became of an event at a consumer.
type Outcome int

// The outcomes of a consumer that keeps versions. A consumer acknowledges
// Applied and Duplicate; Early is kept, unacknowledged, until what it waits
// for has come.
const (
	Applied   Outcome = iota + 1 // the change is durable now
	Duplicate                    // the change was durable before, or is overtaken; nothing was written
	Early                        // something that must come first has not come yet; nothing was written
)

// String returns the outcome's name as metrics spell it.
func (o Outcome) String() string {
	switch o {
	case Applied:
		return "applied"
	case Duplicate:
		return "duplicate"
	case Early:
		return "held"
	default:
		return "unknown"
	}
}
