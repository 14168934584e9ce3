package outbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"maps"
	"strconv"
	"time"

	"lockstep/event"
)

const (
	// looks is how often the broker is asked what it has, over a connection
	// that works, before publishing goes on without the answer.
	looks = 5

	// clockMargin is how far back before its event a message may be dated: the
	// clocks of publishers and broker are apart.
	clockMargin = time.Minute

	// sameMargin is how long after the message an event may seem to have
	// occurred. What occurred later only looks the same: a store that was
	// restored gives versions a second time.
	sameMargin = 5 * time.Second
)

// prints are messages that were found on the broker, by a hash of subject and
// payload, with the time when they were stored last.
type prints map[[16]byte]time.Time

func printOf(s event.Subject, payload []byte) (p [16]byte) {
	h := sha256.New()
	h.Write([]byte(s))
	h.Write([]byte{0})
	h.Write(payload)
	copy(p[:], h.Sum(nil))
	return p
}

// take reports whether e was found, and forgets it then. A payload that does
// not tell its key and version could be that of another event.
func (p prints) take(e *event.Event) bool {
	if len(p) == 0 {
		return false
	}
	print := printOf(e.Subject, e.Payload)
	at, ok := p[print]
	if !ok || e.OccurredAt.After(at.Add(sameMargin)) || !tells(e) {
		return false
	}
	delete(p, print)
	return true
}

func tells(e *event.Event) bool {
	return bytes.Contains(e.Payload, []byte(e.Key)) && bytes.Contains(e.Payload, strconv.AppendInt(nil, e.Version, 10))
}

// lookBack is how many messages of a subject a look goes back at most: as many
// as a relay can have published and not deleted.
func (o Options) lookBack() int { return 4 * o.MemoryLimit }

// inherit finds out what the relay before this one may have published and not
// deleted. Nothing is published until that is known.
func (d *dispatcher) inherit(ctx context.Context) {
	if d.tenure.lease.Settled {
		return
	}
	d.hold(true)
	d.spawn(func() {
		var oldest time.Time
		err := d.trying(ctx, "find the oldest event", func() (err error) {
			oldest, err = d.store.Oldest(ctx)
			return err
		})
		if err != nil {
			return
		}
		found := d.look(ctx, oldest)
		d.errands.reply(ctx, func() { d.resume(true, found) })
	})
}

// look asks the broker which messages it has that were sent for events as old
// as oldest or younger; for the zero time there are none.
func (d *dispatcher) look(ctx context.Context, oldest time.Time) prints {
	if oldest.IsZero() || len(d.opts.Subjects) == 0 {
		return nil
	}
	for attempt := 1; attempt <= looks; attempt++ {
		if d.publisher.Connected(ctx) != nil {
			return nil
		}
		found := prints{}
		err := d.publisher.Stored(ctx, d.opts.Subjects, oldest.Add(-clockMargin), d.opts.lookBack(), func(s event.Subject, payload []byte, at time.Time) {
			found[printOf(s, payload)] = at
		})
		if err == nil || ctx.Err() != nil {
			return found
		}
		d.log.WarnContext(ctx, "the broker is asked again what it has of the outbox", "attempt", attempt, "err", err)
		if wait(ctx, trouble.delay(attempt)) != nil {
			return nil
		}
	}
	d.log.ErrorContext(ctx, "the broker does not tell what it has of the outbox: some events may be published twice")
	return nil
}

// learn keeps what a look has found.
func (d *dispatcher) learn(found prints) {
	if len(d.found) == 0 || len(d.found) > 4*d.opts.lookBack() {
		d.found = found
		return
	}
	maps.Copy(d.found, found)
}

// oldestUncertain returns when the oldest of events occurred whose outcome was
// not known when they failed, or the zero time.
func oldestUncertain(records []Record) (oldest time.Time) {
	for _, r := range records {
		if r.Failures.uncertain() && (oldest.IsZero() || r.OccurredAt.Before(oldest)) {
			oldest = r.OccurredAt
		}
	}
	return oldest
}
