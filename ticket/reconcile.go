package ticket

import (
	"context"
	"fmt"

	"lockstep/event"
)

// OrderState is what the orders service says of one order.
type OrderState struct {
	OrderID   string
	TicketID  string
	Version   int64
	Cancelled bool // otherwise the order takes its ticket
}

// Orders is the service that owns the orders, asked directly and not through
// the bus.
type Orders interface {
	// Page returns up to limit orders with an id above after, by id.
	Page(ctx context.Context, after string, limit int) ([]OrderState, error)
}

// Reconciled counts what a reconciliation did.
type Reconciled struct {
	Compared int `json:"compared"` // orders of the orders service
	Locked   int `json:"locked"`   // locks whose order:created had been lost
	Released int `json:"released"` // releases whose order:cancelled had been lost
	Unknown  int `json:"unknown"`  // orders of tickets that this service never had

	After string `json:"after"` // the last order that was compared
}

// Add adds what a later part of the same comparison did.
func (r *Reconciled) Add(part Reconciled) {
	r.Compared += part.Compared
	r.Locked += part.Locked
	r.Released += part.Released
	r.Unknown += part.Unknown
	r.After = part.After
}

// orderPage is how many orders one round trip brings.
const orderPage = 1000

// Reconcile compares what is known of the orders with the service that owns
// them, page by page from the order after one on ("" for all), and applies the
// locks and releases whose events never came. After each page it calls
// progress, if that is not nil. What broke off goes on from the After of what it
// returns, which is right with an error too. It is safe beside running
// listeners: the highest version of an order counts, so applying what an event
// would have said does nothing if it comes, or came, by itself.
func (s *Service) Reconcile(ctx context.Context, orders Orders, after string, progress func(Reconciled)) (Reconciled, error) {
	sum := Reconciled{After: after}
	for {
		page, err := orders.Page(ctx, sum.After, orderPage)
		if err != nil {
			return sum, fmt.Errorf("reconcile locks above order %q: %w", sum.After, err)
		}
		for _, o := range page {
			if err := s.reconcile(ctx, o, &sum); err != nil {
				return sum, fmt.Errorf("reconcile lock of order %s: %w", o.OrderID, err)
			}
			sum.After = o.OrderID
		}
		if progress != nil {
			progress(sum)
		}
		if len(page) < orderPage {
			return sum, nil
		}
	}
}

func (s *Service) reconcile(ctx context.Context, o OrderState, sum *Reconciled) error {
	sum.Compared++
	known, err := s.known(ctx, o.OrderID)
	if err != nil {
		return err
	}
	switch {
	case o.Cancelled && known.takes():
		outcome, err := s.Release(ctx, event.Cancelled{OrderID: o.OrderID, Version: o.Version, TicketID: o.TicketID})
		if err == nil && outcome == event.Applied {
			sum.Released++
		}
		return err
	case !o.Cancelled && !known.takes():
		outcome, err := s.Lock(ctx, event.Reserved{OrderID: o.OrderID, Version: o.Version, TicketID: o.TicketID})
		switch {
		case err != nil:
			return err
		case outcome == event.Applied:
			sum.Locked++
		case outcome == event.Early:
			sum.Unknown++
		}
	}
	return nil
}
