package ticket

import (
	"context"
	"errors"
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
	Forged   int `json:"forged"`   // of both, those that a version which the order never had stood against
	Unknown  int `json:"unknown"`  // orders of tickets that this service never had

	After string `json:"after"` // the last order that was compared
}

// Add adds what a later part of the same comparison did.
func (r *Reconciled) Add(part Reconciled) {
	r.Compared += part.Compared
	r.Locked += part.Locked
	r.Released += part.Released
	r.Forged += part.Forged
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
// would have said does nothing if it comes, or came, by itself. What is known of
// an order in a version that its owner does not have after that was forged, and
// is made what the owner says.
func (s *Service) Reconcile(ctx context.Context, orders Orders, after string, progress func(Reconciled)) (Reconciled, error) {
	sum := Reconciled{After: after}
	for {
		n, err := s.reconcilePage(ctx, orders, &sum)
		if err != nil {
			return sum, err
		}
		if progress != nil {
			progress(sum)
		}
		if n < orderPage {
			return sum, nil
		}
	}
}

// reconcilePage compares the next page of orders and returns how many it had.
func (s *Service) reconcilePage(ctx context.Context, orders Orders, sum *Reconciled) (int, error) {
	from := sum.After
	page, err := orders.Page(ctx, from, orderPage)
	if err != nil {
		return 0, fmt.Errorf("reconcile locks above order %q: %w", from, err)
	}
	var doubtful []doubt
	for _, o := range page {
		d, err := s.reconcile(ctx, o, sum)
		if err != nil {
			return 0, fmt.Errorf("reconcile lock of order %s: %w", o.OrderID, err)
		}
		if d != nil {
			doubtful = append(doubtful, *d)
		}
		sum.After = o.OrderID
	}
	if len(doubtful) > 0 {
		if err := s.resolve(ctx, orders, from, doubtful, sum); err != nil {
			return 0, err
		}
	}
	return len(page), nil
}

// doubt is an order of which a version is known that says something else than
// its owner said, and is not older.
type doubt struct {
	said  OrderState
	known Lock
}

func (s *Service) reconcile(ctx context.Context, o OrderState, sum *Reconciled) (*doubt, error) {
	sum.Compared++
	known, err := s.known(ctx, o.OrderID)
	if err != nil || o.Cancelled != known.takes() {
		return nil, err
	}
	var outcome event.Outcome
	if o.Cancelled {
		outcome, err = s.Release(ctx, o.cancelled())
	} else {
		outcome, err = s.Lock(ctx, o.reserved())
	}
	switch {
	case err != nil:
		return nil, err
	case outcome == event.Early:
		sum.Unknown++
	case outcome == event.Applied:
		sum.count(o)
	case known.State != "":
		return &doubt{o, known}, nil
	}
	return nil, nil
}

// resolve asks the owner again. What it still says was true after the other
// thing was known, which therefore never came from it. A lock that has changed
// since is left to the next comparison.
func (s *Service) resolve(ctx context.Context, orders Orders, from string, doubtful []doubt, sum *Reconciled) error {
	page, err := orders.Page(ctx, from, orderPage)
	if err != nil {
		return fmt.Errorf("reconcile locks above order %q: %w", from, err)
	}
	said := make(map[string]OrderState, len(page))
	for _, o := range page {
		said[o.OrderID] = o
	}
	for _, d := range doubtful {
		if said[d.said.OrderID] != d.said {
			continue
		}
		var outcome event.Outcome
		if d.said.Cancelled {
			outcome, err = s.end(ctx, d.known, d.said.cancelled())
		} else {
			outcome, err = s.hold(ctx, d.known, d.said.reserved())
		}
		switch {
		case errors.Is(err, ErrConflict):
		case err != nil:
			return fmt.Errorf("reconcile lock of order %s: %w", d.said.OrderID, err)
		case outcome == event.Applied:
			sum.count(d.said)
			sum.Forged++
		}
	}
	return nil
}

func (r *Reconciled) count(o OrderState) {
	if o.Cancelled {
		r.Released++
	} else {
		r.Locked++
	}
}

func (o OrderState) reserved() event.Reserved {
	return event.Reserved{OrderID: o.OrderID, Version: o.Version, TicketID: o.TicketID}
}

func (o OrderState) cancelled() event.Cancelled {
	return event.Cancelled{OrderID: o.OrderID, Version: o.Version, TicketID: o.TicketID}
}
