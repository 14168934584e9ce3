package listeners

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"lockstep/event"
)

// ErrNotFound: no such quarantined message.
var ErrNotFound = errors.New("not found")

// ErrUnreadable: the message is in quarantine, and another program wrote into its
// entry.
var ErrUnreadable = errors.New("the stored message cannot be read")

// Quarantined is a message that was set aside, durably, so that it could be
// acknowledged without being applied.
type Quarantined struct {
	ID          string // derived from group, subject and payload: the same message twice is one entry
	Group       string // the queue group that set it aside
	Subject     event.Subject
	Sequence    uint64 // of the delivery that was set aside; a broker with an empty store renumbers
	Key         string // id of the record; "" if the payload did not tell
	Version     int64
	Predecessor int64 // version that must be applied first; event.None if none must
	Payload     []byte
	Reason      Reason
	Detail      string // one sentence for a person, at most 500 bytes
	At          time.Time
}

// Reason says why a message was set aside.
type Reason string

// The reasons.
const (
	Undecodable Reason = "undecodable" // the payload breaks the contract
	TooEarly    Reason = "too_early"   // its predecessor did not come within the bound; applied by itself once it does
	Failing     Reason = "failing"     // applying it kept failing while others succeeded, or panicked; tried again from time to time
)

// Check returns an error that names the reasons if r is none of them.
func (r Reason) Check() error {
	switch r {
	case Undecodable, TooEarly, Failing:
		return nil
	}
	return fmt.Errorf("%q is not %s, %s or %s", r, Undecodable, TooEarly, Failing)
}

// QuarantineID returns the id of a message in quarantine.
func QuarantineID(group string, subject event.Subject, payload []byte) string {
	h := sha256.New()
	h.Write([]byte(group + "\x00" + string(subject) + "\x00"))
	h.Write(payload)
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Filter chooses entries of a quarantine; what is zero chooses all.
type Filter struct {
	Group   string
	Reason  Reason
	Subject event.Subject
	Key     string
	Before  time.Time // set aside before
}

// LookAt bounds how many entries one call of List looks at for those that are
// chosen.
const LookAt = 10_000

// PageBytes bounds the payloads that Waiting and Applicable return together,
// but for the last one.
const PageBytes = 2 << 20

// Quarantine keeps messages that were set aside. Entries that wait, TooEarly
// or Failing ones, are applied from there. Its methods may be called from many
// goroutines and many processes.
type Quarantine interface {
	// Put stores messages durably; an entry with the same id is left as it is.
	// With an error any part may have been stored.
	Put(ctx context.Context, messages []Quarantined) error

	// List returns up to limit entries that f chooses with an id above after,
	// by id, without their payloads, and the id to go on after; "" if there is
	// nothing behind. It returns fewer if they are large, and looks at a bounded
	// number of entries: where f chooses few of many, it may return none and
	// still go on.
	List(ctx context.Context, f Filter, after string, limit int) (found []Quarantined, next string, err error)

	// Waiting returns up to limit entries of a group that wait, of records with
	// a key above after, by key and predecessor.
	Waiting(ctx context.Context, group, after string, limit int) ([]Quarantined, error)

	// Applicable returns up to limit entries of a group that wait, by key and
	// predecessor: of those records of which one waits for the version that was
	// reached or an older one.
	Applicable(ctx context.Context, group string, reached map[string]int64, limit int) ([]Quarantined, error)

	// Get returns one entry, or ErrNotFound, or ErrUnreadable.
	Get(ctx context.Context, id string) (Quarantined, error)

	// Remove deletes entries and returns how many there were.
	Remove(ctx context.Context, ids []string) (int, error)

	// Count returns about how many entries there are, of all groups.
	Count(ctx context.Context) (int, error)

	// Size returns how much there is of a group.
	Size(ctx context.Context, group string) (Size, error)
}

// Size is how much a group has in quarantine.
type Size struct {
	Messages int
	Bytes    int64 // of their payloads
}

// Mark is how far a queue group has come in a channel, as far as its members on
// one store know. A message counts as seen once it is durable there, or was
// found to be lost.
type Mark struct {
	Group    string
	Channel  event.Subject
	Sequence uint64 // every message up to it was seen
	Beyond   Spans  // what else was seen, above Sequence+1

	// Last is the highest sequence that was seen, and SentAt the broker's time
	// of that message, which tells a channel that began anew. Both are zero
	// until one was seen.
	Last   uint64
	SentAt time.Time

	// Base is the channel's last sequence when the mark was made. The group
	// may be older than the mark: until a message was seen, nothing up to Base
	// is missed.
	Base uint64

	// Renumbered is how often the channel began anew since. Sequences of before
	// that say nothing about the messages which have them now.
	Renumbered int64

	Lost     uint64 // messages that were found to be lost since the mark was made
	Revision int64  // of the stored mark, or Spoiled; 0 if it was not stored, or by a release that kept none
}

// Spoiled is the revision of a stored mark that cannot be read, because another
// program wrote into it. Nobody knows what was seen, so nothing was: what the
// channel holds is read again, and what it has dropped is a loss.
const Spoiled = -1

// Next returns the revision that the mark has once it is stored.
func (m Mark) Next() int64 { return max(m.Revision, 0) + 1 }

// add counts sequences as seen.
func (m *Mark) add(seen Spans) {
	if len(seen) == 0 {
		return
	}
	if m.Last == 0 {
		m.Sequence = max(m.Sequence, min(seen[0].From-1, m.Base))
	}
	m.Beyond = m.Beyond.with(seen)
	if m.Sequence > 0 {
		m.Beyond = m.Beyond.with(Spans{{1, m.Sequence}})
	}
	if m.Beyond[0].From == 1 {
		m.Sequence, m.Beyond = m.Beyond[0].To, m.Beyond[1:]
	}
}

// reach returns the highest sequence that the mark knows of.
func (m Mark) reach() uint64 {
	highest := max(m.Sequence, m.Last, m.Base)
	if n := len(m.Beyond); n > 0 {
		highest = max(highest, m.Beyond[n-1].To)
	}
	return highest
}

// unseen returns what was not seen up to limit.
func (m Mark) unseen(limit uint64) Spans {
	if limit <= m.Sequence {
		return nil
	}
	return Spans{{m.Sequence + 1, limit}}.without(m.Beyond)
}

// missing returns what was not seen from the base up to limit.
func (m Mark) missing(limit uint64) Spans {
	if m.Last > 0 || m.Base == 0 {
		return m.unseen(limit)
	}
	return m.unseen(limit).without(Spans{{1, m.Base}})
}

// Marks keeps the marks of queue groups, so that a loss inside the broker is
// noticed. Its methods may be called from many goroutines and many processes.
type Marks interface {
	// Mark returns the stored mark; all but its names is zero if there is none.
	// Of one that is spoiled the revision says so, and of the rest Renumbered
	// alone may be told.
	Mark(ctx context.Context, group string, channel event.Subject) (Mark, error)

	// Store stores m, with its next revision, if the stored mark has the
	// revision of m, or is spoiled still, and reports whether it did.
	Store(ctx context.Context, m Mark) (bool, error)
}
