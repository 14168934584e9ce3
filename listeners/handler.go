package listeners

import (
	"context"

	"lockstep/event"
)

// Item is what a message says, as its handler decoded it.
type Item struct {
	// Key names the record. One listener never handles items of one key at the
	// same time, wherever they come from: the broker, the quarantine, an
	// operator's retry. Two members of a group may: the store's own conditions
	// must decide between them.
	Key string

	// Version is the item's place among those of its key, and Predecessor the
	// version that must be applied before it; event.None if none must. Items
	// that wait for something else than a version have event.None.
	Version     int64
	Predecessor int64

	// Event is the decoded payload, for the handler that made it.
	Event any
}

// Verdict is what became of an item.
type Verdict struct {
	Outcome event.Outcome

	// Err says why there is no outcome. One that wraps event.ErrInvalid sets
	// the message aside; after any other the item is tried again. One that all
	// items of a batch have may be the fault of some: they are handled again
	// in smaller batches.
	Err error
}

// Handler does the work of a group on some subjects. Its methods may be called
// from many goroutines.
type Handler interface {
	// Subjects returns the subjects whose messages it handles.
	Subjects() []event.Subject

	// Decode reads a payload. Every error wraps event.ErrInvalid.
	Decode(subject event.Subject, payload []byte) (Item, error)

	// Handle applies a batch, in which items of one key are in version order,
	// and returns one verdict per item, in their order. What it reports as
	// applied or duplicate is durable.
	Handle(ctx context.Context, items []Item) []Verdict
}

// The groups of the ticketing services.
const (
	OrdersService  = "orders-service"
	TicketsService = "tickets-service"
)

// all returns n times the verdict err.
func all(n int, err error) []Verdict {
	verdicts := make([]Verdict, n)
	for i := range verdicts {
		verdicts[i].Err = err
	}
	return verdicts
}
