package outbox

import (
	"slices"
	"time"

	"lockstep/event"
)

// Record is an event that waits in the store.
type Record struct {
	event.Event

	// Position is the store's own number of the record, by which it finds it
	// fastest; 0 in a store that has none.
	Position int64

	// Locked says that a dispatcher owns the record: it is set when the event
	// is written, cleared by a failure and set again by the retry job.
	// LockedAt makes it a lease: a lock that has grown old was left behind by
	// a crash.
	Locked   bool
	LockedAt time.Time

	// NotBefore is when an unlocked record may be tried again.
	NotBefore time.Time

	Failures Failures

	// Unreadable is set if this is no event; nothing else is set then. Only an
	// Inspector returns such records.
	Unreadable *Unreadable
}

// ID returns the id of the record.
func (r Record) ID() string {
	if r.Unreadable != nil {
		return r.Unreadable.ID
	}
	return r.Event.ID()
}

// Ref returns what a store deletes r by.
func (r Record) Ref() Ref {
	return Ref{Key: r.Key, Version: r.Version, Subject: r.Subject, Position: r.Position}
}

// Ref names a record: by the parts of its id and, unless it is 0, by its
// Position too.
type Ref struct {
	Key      string
	Version  int64
	Subject  event.Subject
	Position int64
}

// ID returns the id of the record.
func (r Ref) ID() string {
	return event.Event{Key: r.Key, Version: r.Version, Subject: r.Subject}.ID()
}

// Failures is the bounded history of a record's failed attempts.
type Failures struct {
	Total int       // how many there were
	Kept  []Failure // the first one and the latest, oldest first; never nil in a store
}

// uncertain reports whether an attempt may have reached the broker.
func (f Failures) uncertain() bool {
	return slices.ContainsFunc(f.Kept, func(f Failure) bool { return f.Class != Rejected })
}

// KeptFailures is how many failures of one record a store keeps: the first and
// the latest KeptFailures-1.
const KeptFailures = 10

// Add returns f with one more failure.
func (f Failures) Add(failure Failure) Failures {
	f.Total++
	failure.Attempt = f.Total
	kept := append([]Failure{}, f.Kept...)
	kept = append(kept, failure)
	if len(kept) > KeptFailures {
		kept = append(kept[:1], kept[2:]...)
	}
	f.Kept = kept
	return f
}

// Failure is one attempt that did not succeed.
type Failure struct {
	At      time.Time // UTC, whole milliseconds
	Attempt int       // 1 for the first failure of the record
	Class   Class
	Message string // what the broker or the client library said, at most 500 bytes
}

// Class says what kind of failure it was.
type Class string

// The classes. An unreachable broker is none of them: nothing is attempted
// then and nothing recorded.
const (
	Unconfirmed Class = "unconfirmed" // sent, and no answer came in time
	Rejected    Class = "rejected"    // refused, and will be refused again
)

// Stats describes everything that waits.
type Stats struct {
	Pending     int       // records in the store; beyond 10,000 it may be the store's estimate
	Oldest      time.Time // OccurredAt of the oldest; zero if none, or not known
	BlockedKeys int       // keys whose next event has failed and is not published; the count may end at 10,000
	Unreadable  int       // entries that are no events; the count ends at 1,000
}
