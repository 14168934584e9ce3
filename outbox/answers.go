package outbox

import (
	"context"
	"errors"
	"strings"
	"time"

	"lockstep/event"
)

const (
	// repeats is how often an event that got no answer over a healthy
	// connection is sent again before that counts as its failure.
	repeats = 3

	// healthy is how soon a connection that works says so.
	healthy = 100 * time.Millisecond

	// maxMessage bounds the text of a failure, in bytes.
	maxMessage = 500
)

// settle acts on the broker's answer to an event.
func (d *dispatcher) settle(ctx context.Context, a answer) {
	l, err := a.lane, a.err
	if err == nil {
		d.pauses = 0
		d.metrics.published(d.confirm(l), d.opts.Now())
		return
	}
	subject := l.waiting.oldest().Subject
	switch {
	case errors.Is(err, event.ErrUnreachable):
		d.metrics.failed(subject, reasonUnreachable)
		d.queue.putBack(l)
		d.pause(ctx)
	case errors.Is(err, event.ErrRejected):
		d.metrics.failed(subject, reasonRejected)
		d.fail(l, Rejected, err)
	default:
		d.metrics.failed(subject, reasonUnconfirmed)
		l.why = err
		d.queue.doubt(l)
		d.pause(ctx)
	}
}

// confirm has the head of l deleted, which the broker has.
func (d *dispatcher) confirm(l *lane) Record {
	head := d.queue.confirm(l)
	d.published.add(head.Ref())
	return head
}

// pause stops publishing until it is known how the connection is.
func (d *dispatcher) pause(ctx context.Context) {
	if d.paused || d.stopping {
		return
	}
	d.hold(true)
	d.pauses++
	pauses, oldest := d.pauses, d.queue.oldestSent()
	d.spawn(func() { d.awaitBroker(ctx, pauses, oldest) })
}

// hold stops publishing, or lets it go on.
func (d *dispatcher) hold(paused bool) {
	d.paused = paused
	d.metrics.pausing(paused)
}

// awaitBroker waits out an outage without trying anything, and finds out then
// what the broker has of the events without an answer, the oldest of which
// occurred at the given time. It runs beside the dispatcher.
func (d *dispatcher) awaitBroker(ctx context.Context, pauses int, oldest time.Time) {
	up := d.connected(ctx)
	if up {
		// It may say so and still fail every event: do not hammer it.
		_ = wait(ctx, trouble.delay(pauses))
	} else {
		began := time.Now()
		d.log.WarnContext(ctx, "broker unreachable: nothing is published until it is back")
		if err := d.trying(ctx, "wait for the broker", func() error { return d.publisher.Connected(ctx) }); err != nil {
			return
		}
		d.log.InfoContext(ctx, "broker reachable: publishing goes on", "after", time.Since(began))
	}
	found := d.look(ctx, oldest)
	d.errands.reply(ctx, func() { d.resume(up, found) })
}

// connected reports whether the connection is there at this moment.
func (d *dispatcher) connected(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, healthy)
	defer cancel()
	return d.publisher.Connected(ctx) == nil
}

// resume goes on publishing, but for what was found on the broker. up says that the connection was there all along;
// otherwise unanswered events are part of the outage and have not failed.
func (d *dispatcher) resume(up bool, found prints) {
	d.hold(false)
	d.learn(found)
	for _, l := range d.queue.resolve(up, repeats) {
		if d.found.take(&l.waiting.oldest().Event) {
			d.confirm(l)
			d.metrics.found.Inc()
			continue
		}
		d.fail(l, Unconfirmed, l.why)
	}
}

// fail records that the head of l failed. Its key is blocked until the retry
// job takes it up.
func (d *dispatcher) fail(l *lane, class Class, why error) {
	head := d.queue.fail(l)
	f := Failure{At: d.now(), Class: class, Message: clip(why.Error())}
	notBefore := f.At.Add(d.opts.Backoff.delay(head.Failures.Total + 1)).Truncate(time.Millisecond)
	d.errands.send(func(ctx context.Context) func() {
		var kept Record
		err := d.trying(ctx, "record a failure", func() (err error) {
			kept, err = d.store.Fail(ctx, head.ID(), f, notBefore)
			return err
		})
		gone := errors.Is(err, ErrNotFound)
		if err != nil && !gone {
			return nil
		}
		if !gone {
			d.report(ctx, kept, f)
		}
		return func() { d.queue.failed(l, gone) }
	})
}

// report tells people of a recorded failure.
func (d *dispatcher) report(ctx context.Context, r Record, f Failure) {
	log := d.log.With("event_id", r.ID(), "key", r.Key, "version", r.Version, "subject", r.Subject,
		"class", f.Class, "failures", r.Failures.Total, "err", f.Message)
	if r.Failures.Total < d.opts.Threshold {
		log.WarnContext(ctx, "event not published: its key waits", "not_before", r.NotBefore)
		return
	}
	log.ErrorContext(ctx, "event not published after many attempts: retry or discard it, its key waits", "not_before", r.NotBefore,
		"commands", "lockstep outbox show|retry|discard "+r.ID())
	if r.Failures.Total == d.opts.Threshold {
		d.metrics.parked.Inc()
		if d.opts.OnThreshold != nil {
			d.opts.OnThreshold(ctx, r)
		}
	}
}

// clip bounds a message.
func clip(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage]
	}
	return strings.ToValidUTF8(s, "")
}
