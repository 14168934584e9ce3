package listeners

import (
	"context"
	"fmt"

	"lockstep/event"
)

// Ender ends orders because another service said so; *order.Service is one.
type Ender interface {
	Expire(ctx context.Context, e event.Expired) (event.Outcome, error)
	Complete(ctx context.Context, p event.Paid) (event.Outcome, error)
}

// Orders ends the orders of the orders service whose window has passed or that
// were paid.
type Orders struct{ ender Ender }

// NewOrders returns the handler that ends orders by e.
func NewOrders(e Ender) *Orders { return &Orders{ender: e} }

// Subjects implements Handler.
func (o *Orders) Subjects() []event.Subject {
	return []event.Subject{event.ExpirationComplete, event.PaymentCreated}
}

// Decode implements Handler. The events carry no version: the first that comes
// ends the order.
func (o *Orders) Decode(subject event.Subject, payload []byte) (Item, error) {
	switch subject {
	case event.ExpirationComplete:
		e, err := event.DecodeExpired(payload)
		return Item{Key: e.OrderID, Predecessor: event.None, Event: e}, err
	case event.PaymentCreated:
		p, err := event.DecodePaid(payload)
		return Item{Key: p.OrderID, Predecessor: event.None, Event: p}, err
	default:
		return Item{}, fmt.Errorf("%w: no event that ends an order is called %s", event.ErrInvalid, subject)
	}
}

// Handle implements Handler.
func (o *Orders) Handle(ctx context.Context, items []Item) []Verdict {
	return each(items, func(item Item) string { return item.Key }, func(item Item) (event.Outcome, error) {
		if e, ok := item.Event.(event.Expired); ok {
			return o.ender.Expire(ctx, e)
		}
		return o.ender.Complete(ctx, item.Event.(event.Paid))
	})
}
