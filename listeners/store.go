package listeners

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"lockstep/event"
)

// ErrNotFound: no such quarantined message.
var ErrNotFound = errors.New("not found")

// Quarantined is a message that was set aside, durably, so that it could be
// acknowledged without being applied.
type Quarantined struct {
	ID       string // derived from group, subject and payload: the same message twice is one entry
	Group    string // the queue group that set it aside
	Subject  event.Subject
	Sequence uint64 // of the delivery that was set aside; a broker with an empty store renumbers
	Key      string // id of the record; "" if the payload did not tell
	Version  int64
	Payload  []byte
	Reason   Reason
	Detail   string // one sentence for a person, at most 500 bytes
	At       time.Time
}

// Reason says why a message was set aside.
type Reason string

// The reasons.
const (
	Undecodable Reason = "undecodable" // the payload breaks the contract
	TooEarly    Reason = "too_early"   // its predecessor did not come within the bound; applied by itself once it does
	Failing     Reason = "failing"     // applying it kept failing while others succeeded, or panicked; tried again from time to time
)

// QuarantineID returns the id of a message in quarantine.
func QuarantineID(group string, subject event.Subject, payload []byte) string {
	h := sha256.New()
	h.Write([]byte(group + "\x00" + string(subject) + "\x00"))
	h.Write(payload)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Quarantine keeps messages that were set aside. Its methods may be called
// from many goroutines and many processes.
type Quarantine interface {
	// Put stores q durably; an entry with the same id is left as it is.
	Put(ctx context.Context, q Quarantined) error

	// List returns up to limit entries with an id above after, by id.
	List(ctx context.Context, after string, limit int) ([]Quarantined, error)

	// OfKey returns up to limit entries of one record that wait for a
	// predecessor (TooEarly), by version.
	OfKey(ctx context.Context, key string, limit int) ([]Quarantined, error)

	// Get returns one entry, or ErrNotFound.
	Get(ctx context.Context, id string) (Quarantined, error)

	// Remove deletes an entry; ErrNotFound if there is none.
	Remove(ctx context.Context, id string) error

	// Count returns how many entries there are.
	Count(ctx context.Context) (int, error)
}

// Mark is how far a queue group has come in a channel: every message up to
// Sequence was seen by some member.
type Mark struct {
	Group    string
	Channel  event.Subject
	Sequence uint64
	SentAt   time.Time // the broker's time of that message: tells a renumbered channel apart
}

// Marks keeps the marks of queue groups, so that a loss inside the broker is
// noticed after a restart. Its methods may be called from many goroutines and
// many processes.
type Marks interface {
	// Mark returns the stored mark; its Sequence is 0 if there is none.
	Mark(ctx context.Context, group string, channel event.Subject) (Mark, error)

	// Advance stores m if its Sequence is above the stored one.
	Advance(ctx context.Context, m Mark) error

	// Reset stores m whatever was stored: the channel was renumbered.
	Reset(ctx context.Context, m Mark) error
}
