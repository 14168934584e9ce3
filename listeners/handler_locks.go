package listeners

import (
	"context"
	"fmt"

	"lockstep/event"
)

// Locker locks and releases tickets; *ticket.Service is one.
type Locker interface {
	Lock(ctx context.Context, r event.Reserved) (event.Outcome, error)
	Release(ctx context.Context, c event.Cancelled) (event.Outcome, error)
}

// Locks keeps the locks of the tickets service: it hears of orders.
type Locks struct{ locker Locker }

// NewLocks returns the handler that locks and releases by l.
func NewLocks(l Locker) *Locks { return &Locks{locker: l} }

// Subjects implements Handler.
func (l *Locks) Subjects() []event.Subject { return event.OrderSubjects() }

// Decode implements Handler. The key is the order's id. No order event waits
// for another one of its order, whatever their versions.
func (l *Locks) Decode(subject event.Subject, payload []byte) (Item, error) {
	switch subject {
	case event.OrderCreated:
		r, err := event.DecodeReserved(payload)
		return Item{Key: r.OrderID, Version: r.Version, Predecessor: event.None, Event: r}, err
	case event.OrderCancelled:
		c, err := event.DecodeCancelled(payload)
		return Item{Key: c.OrderID, Version: c.Version, Predecessor: event.None, Event: c}, err
	default:
		return Item{}, fmt.Errorf("%w: no order event is called %s", event.ErrInvalid, subject)
	}
}

// Handle implements Handler. Events of one ticket are applied one after the
// other: side by side they would only conflict.
func (l *Locks) Handle(ctx context.Context, items []Item) []Verdict {
	return each(items, lockedTicket, func(item Item) (event.Outcome, error) {
		if r, ok := item.Event.(event.Reserved); ok {
			return l.locker.Lock(ctx, r)
		}
		return l.locker.Release(ctx, item.Event.(event.Cancelled))
	})
}

func lockedTicket(item Item) string {
	if r, ok := item.Event.(event.Reserved); ok {
		return r.TicketID
	}
	return item.Event.(event.Cancelled).TicketID
}
