package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// Payments reads what was paid from where it is announced, past any queue
// group: also what a member of a group holds, or has set aside.
type Payments interface {
	// CatchUp calls apply with every payment that was announced since from, up
	// to the last one at the moment of the call, in their order; those that an
	// earlier call brought may be left out. It returns nil only if it came that
	// far. An error of apply ends it, and that payment comes again with the
	// next call. One call at a time.
	CatchUp(ctx context.Context, from time.Time, apply func(context.Context, event.Paid) error) error
}

// maxOwed bounds how many payments that could not be applied are remembered.
// Beyond it the reading stops at the first that fails.
const maxOwed = 1000

// errOwed: a payment for the order was read and could not be applied yet.
var errOwed = errors.New("a payment for it is not applied yet")

// gate lets an order be cancelled for its time only after everything was
// applied that had been paid until then. A payment that is announced later
// meets a cancelled order, and Decide says what follows.
type gate struct {
	payments Payments // nil if there are none to read
	complete func(context.Context, event.Paid) (event.Outcome, error)

	turn  chan struct{} // a place for the one who reads; guards what follows
	owed  map[string]map[string]event.Paid
	count int       // of owed
	began time.Time // of the last reading that reached the present
	from  time.Time // where that one started
}

func newGate(s *Service, p Payments) *gate {
	return &gate{payments: p, complete: s.Complete, turn: make(chan struct{}, 1), owed: map[string]map[string]event.Paid{}}
}

// pass returns nil once every payment since from that was announced before the
// call was applied, or is owed.
func (g *gate) pass(ctx context.Context, from time.Time) error {
	if g.payments == nil {
		return nil
	}
	asked := time.Now()
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.began.After(asked) && !g.from.After(from) { // somebody else's reading will do
		return nil
	}
	began := time.Now()
	g.pay(ctx)
	if err := g.payments.CatchUp(ctx, from, g.apply); err != nil {
		return fmt.Errorf("payments are not read up to the present: %w", err)
	}
	g.began, g.from = began, from
	return nil
}

// pay applies what is owed.
func (g *gate) pay(ctx context.Context) {
	for orderID, payments := range g.owed {
		for name, p := range payments {
			if _, err := g.complete(ctx, p); err == nil {
				delete(payments, name)
				g.count--
			}
		}
		if len(payments) == 0 {
			delete(g.owed, orderID)
		}
	}
}

func (g *gate) apply(ctx context.Context, p event.Paid) error {
	_, err := g.complete(ctx, p)
	if err == nil {
		return nil
	}
	if g.count >= maxOwed || ctx.Err() != nil {
		return err
	}
	payments := g.owed[p.OrderID]
	if payments == nil {
		payments = map[string]event.Paid{}
		g.owed[p.OrderID] = payments
	}
	if _, known := payments[p.Name()]; !known {
		payments[p.Name()] = p
		g.count++
	}
	return nil
}

// owes returns errOwed if a payment for the order waits to be applied.
func (g *gate) owes(ctx context.Context, orderID string) error {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if g.owed[orderID] != nil {
		return errOwed
	}
	return nil
}

// madeAt returns a time at which an order did not exist yet: its id tells, and
// if it does not, its end less the window. The window may have been another
// then, so of both the earlier one counts, and without an id that tells, none.
func (s *Service) madeAt(d Due) time.Time {
	made, ok := objectid.Time(d.OrderID)
	if !ok {
		return time.Time{}
	}
	if byWindow := d.ExpiresAt.Add(-s.window); byWindow.Before(made) {
		return byWindow
	}
	return made
}
