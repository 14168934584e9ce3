package event

import "errors"

// What a publisher reports of an event it could not confirm. Publishers wrap
// one of these; relays match them with errors.Is. Anything else counts as
// ErrUnconfirmed.
var (
	// ErrUnreachable: there is no connection to the broker and nothing was
	// sent. It is no failure of the event.
	ErrUnreachable = errors.New("broker unreachable")

	// ErrUnconfirmed: the event was sent and no answer came. It may be stored
	// or not; the broker has to be asked before it is published again.
	ErrUnconfirmed = errors.New("publish not confirmed")

	// ErrRejected: the broker or the client library refused this event, and
	// will refuse it again: too large, or a subject that is no legal channel.
	ErrRejected = errors.New("publish rejected")
)
