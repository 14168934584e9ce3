package listeners

import (
	"context"
	"fmt"

	"lockstep/event"
)

// Item is what a message says, as its handler decoded it.
type Item struct {
	// Key names the record. Items of one key are never handled at the same
	// time.
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
	// the message aside; after any other the item is tried again.
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

// handle has items handled by h and holds it to its contract.
func handle(ctx context.Context, h Handler, items []Item) []Verdict {
	verdicts := h.Handle(ctx, items)
	if len(verdicts) != len(items) {
		return all(len(items), fmt.Errorf("handler gave %d verdicts on %d items", len(verdicts), len(items)))
	}
	for i, v := range verdicts {
		if v.Err == nil && v.Outcome != event.Applied && v.Outcome != event.Duplicate && v.Outcome != event.Early {
			verdicts[i].Err = fmt.Errorf("handler gave the unknown outcome %d", v.Outcome)
		}
	}
	return verdicts
}
