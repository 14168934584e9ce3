package outbox

import (
	"context"

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

	// Connected returns when events can be sent, or with ctx's error. It is
	// how the relay waits out an outage without trying.
	Connected(ctx context.Context) error
}
