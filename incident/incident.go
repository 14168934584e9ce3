package incident

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Cause says what kind of trouble it is.
type Cause string

// The causes.
const (
	EventUnpublished  Cause = "event_unpublished"   // an event failed as often as the threshold says; its key waits
	MoneyWithoutGoods Cause = "money_without_goods" // a payment whose order cannot be completed
	BrokerLoss        Cause = "broker_loss"         // the broker lost messages that nobody had seen
	DriftUnmended     Cause = "drift_unmended"      // rows differ from their owner and only a person can judge them
	QuarantineGrown   Cause = "quarantine_grown"    // more messages are set aside than the bound allows
	StoreStopped      Cause = "store_stopped"       // the store takes no more writes, or does not answer
	WrongLock         Cause = "wrong_lock"          // a ticket stays locked for an order that is over, or unlocked for a paid one
)

// Causes returns every cause.
func Causes() []Cause {
	return []Cause{EventUnpublished, MoneyWithoutGoods, BrokerLoss, DriftUnmended, QuarantineGrown, StoreStopped, WrongLock}
}

// maxText bounds a summary, an ending and a subject, in bytes.
const maxText = 1000

// Incident is one trouble from its beginning to its end. Times are UTC in whole
// milliseconds.
type Incident struct {
	ID      string // of this opening; later ones sort behind earlier ones
	Cause   Cause
	Service string
	Subject string // what it is about: the id of an event, a payment or an order, a channel
	Summary string // what happened and what to do about it, as of the latest raise
	Opened  time.Time
	Raised  time.Time // the latest time that it was raised
	Closed  time.Time // zero while it is open
	Ending  string    // how it ended; "" while it is open
	Count   int       // how often it was raised

	Told     Told
	Tries    int       // of the notice that is due, so far
	NotifyAt time.Time // when the next notice is due; zero if none is
	Revision int64     // raised by every write; 0 if it was never written
}

// Told says how much of an incident people were told, or given up to be told.
type Told int

// What was told.
const (
	ToldNothing Told = iota
	ToldOpen
	ToldOver
)

// String returns the value's name.
func (t Told) String() string {
	return [...]string{"nothing", "open", "over"}[min(max(t, 0), ToldOver)]
}

// Key names what an incident is about: the same for every opening.
func (i Incident) Key() string { return keyOf(i.Service, i.Cause, i.Subject) }

// Open reports whether the incident goes on.
func (i Incident) Open() bool { return i.Closed.IsZero() }

func keyOf(service string, cause Cause, subject string) string {
	sum := sha256.Sum256([]byte(service + "\x00" + string(cause) + "\x00" + subject))
	return hex.EncodeToString(sum[:8])
}

// opened returns a new incident. Its id begins with its time, so ids sort by
// age.
func opened(service string, cause Cause, subject string, now time.Time) Incident {
	return Incident{
		ID:    fmt.Sprintf("%012x%s", now.UnixMilli(), keyOf(service, cause, subject)),
		Cause: cause, Service: service, Subject: subject, Opened: now, NotifyAt: now,
	}
}

// raised returns the incident raised n times more.
func (i Incident) raised(n int, summary string, now time.Time) Incident {
	i.Count += n
	i.Summary, i.Raised = summary, now
	return i
}

// over returns the incident closed.
func (i Incident) over(ending string, now time.Time) Incident {
	i.Closed, i.Ending = now, ending
	if i.NotifyAt.IsZero() {
		i.NotifyAt = now
	}
	return i
}

// told returns the incident after the notice that was due is out of the way.
func (i Incident) told(now time.Time) Incident {
	i.Told++
	i.Tries, i.NotifyAt = 0, time.Time{}
	if i.Told == ToldOpen && !i.Open() {
		i.NotifyAt = now
	}
	return i
}

// clean makes text fit for a log, a terminal and a chat: one line, bounded,
// without what a chat takes for a mention or a link.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '<':
			return '‹'
		case r == '>':
			return '›'
		case !unicode.IsPrint(r):
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return cmp.Or(text, "-")
}
