package outbox

import (
	"context"
	"time"

	"lockstep/event"
)

// Publisher puts events onto the broker.
type Publisher interface {
	// Publish sends e and returns without waiting for the broker's answer.
	// done is called exactly once, with nil after the broker has stored the
	// event, or with an error that wraps event.ErrUnreachable,
	// event.ErrUnconfirmed or event.ErrRejected. It may be called before
	// Publish returns and from any goroutine, and must not block.
	Publish(e event.Event, done func(error))

	// Stored calls report with every message that the broker has stored of the
	// subjects since the given time, and when it did, but not more than the latest atMost of
	// each, from one goroutine at a time. It returns when nothing that was sent
	// before the call can be stored any more, be it by this process or by one
	// that has ended, or with an error. A broker that drops second copies of an
	// event by itself has nothing to report.
	Stored(ctx context.Context, subjects []event.Subject, since time.Time, atMost int, report func(s event.Subject, payload []byte, at time.Time)) error

	// Connected returns when events can be sent, or with ctx's error. It is
	// how the relay waits out an outage without trying.
	Connected(ctx context.Context) error
}
