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
	// Page returns up to limit orders with an id above after, by id: fewer if
	// they are large, none behind the last one.
	Page(ctx context.Context, after string, limit int) ([]OrderState, error)

	// Order returns one order as it is now, ErrNotFound if the service never
	// had it, or ErrUnreadable if it cannot say.
	Order(ctx context.Context, id string) (OrderState, error)
}

// Reconciled counts what a reconciliation did.
type Reconciled struct {
	Compared int `json:"compared"` // orders of the orders service
	Locked   int `json:"locked"`   // locks that were missing
	Released int `json:"released"` // releases that were missing
	Lost     int `json:"lost"`     // of both, those that nothing stood against
	Forged   int `json:"forged"`   // orders of which something was known that their owner never said; it is what the owner says now

	// Orders that take a ticket which this service never had, or deleted. Nothing
	// locks it for them.
	NoTicket      int    `json:"noTicket"`                // left as they are
	WithoutTicket []Left `json:"withoutTicket,omitempty"` // the first of those, 100 at most

	// Locks of orders that the orders service does not have. Either somebody
	// else published them, or its database was restored from a backup.
	NoOrder int    `json:"noOrder"`        // left as they are
	Freed   int    `json:"freed"`          // released, because the owner is trusted
	Left    []Left `json:"left,omitempty"` // the first of those that are left, 100 at most

	After string `json:"after"` // the last order that was compared
}

// Left is a lock, or an order, that only a person can judge.
type Left struct {
	OrderID  string `json:"orderId"`
	TicketID string `json:"ticketId"`
}

// maxLeft bounds the lists of a Reconciled.
const maxLeft = 100

// Add adds what a later part of the same comparison did.
func (r *Reconciled) Add(part Reconciled) {
	r.Compared += part.Compared
	r.Locked += part.Locked
	r.Released += part.Released
	r.Lost += part.Lost
	r.Forged += part.Forged
	r.NoTicket += part.NoTicket
	r.NoOrder += part.NoOrder
	r.Freed += part.Freed
	r.Left = firstOf(r.Left, part.Left...)
	r.WithoutTicket = firstOf(r.WithoutTicket, part.WithoutTicket...)
	r.After = part.After
}

// firstOf appends to a list that is bounded.
func firstOf(list []Left, more ...Left) []Left {
	list = append(list, more...)
	return list[:min(len(list), maxLeft)]
}

// noTicket counts an order that has no ticket.
func (r *Reconciled) noTicket(o OrderState) {
	r.NoTicket++
	r.WithoutTicket = firstOf(r.WithoutTicket, Left{o.OrderID, o.TicketID})
}

// ReconcileOptions say how a reconciliation is done.
type ReconcileOptions struct {
	After    string           // goes on behind this order; "" compares all
	Progress func(Reconciled) // called after each page; may be nil

	// TrustOwner releases locks of orders that the orders service does not
	// have, instead of reporting them.
	TrustOwner bool
}

// comparePage is how many orders, and how many locks, one round trip brings.
const comparePage = 1000

// Reconcile compares what is known of the orders with the service that owns
// them, page by page, and applies the locks and releases whose events never
// came. What broke off goes on from the After of what it returns, which is right
// with an error too. It is safe beside running listeners: the highest version of
// an order counts, so applying what an event would have said does nothing if it
// comes, or came, by itself. What is known of an order and differs from what its
// owner says of it after that was forged, and is made what the owner says.
func (s *Service) Reconcile(ctx context.Context, orders Orders, o ReconcileOptions) (Reconciled, error) {
	r := &reconciliation{Service: s, orders: orders, trust: o.TrustOwner, sum: Reconciled{After: o.After}}
	for {
		more, err := r.page(ctx)
		if err != nil || !more {
			return r.sum, err
		}
		if o.Progress != nil {
			o.Progress(r.sum)
		}
	}
}

// reconciliation is one run of Reconcile.
type reconciliation struct {
	*Service
	orders Orders
	trust  bool
	sum    Reconciled
}

// page compares the next orders and locks, and reports whether there were any.
// The locks are read first: an order that is locked here by then is among the
// orders that are read after that, unless its owner does not have it.
func (r *reconciliation) page(ctx context.Context) (more bool, err error) {
	after := r.sum.After
	locks, err := r.store.Locks(ctx, after, comparePage)
	if err != nil {
		return false, fmt.Errorf("reconcile locks above order %q: %w", after, err)
	}
	said, err := r.orders.Page(ctx, after, comparePage)
	if err != nil {
		return false, fmt.Errorf("reconcile locks above order %q: %w", after, err)
	}
	for _, p := range merge(locks, said) {
		if err := r.compare(ctx, p); err != nil && !errors.Is(err, ErrUnreadable) {
			return false, fmt.Errorf("reconcile lock of order %s: %w", p.id, err)
		}
		r.sum.After = p.id
	}
	return len(locks)+len(said) > 0, nil
}

// pair is what is known of an order, and what its owner says.
type pair struct {
	id    string
	known Lock        // zero if nothing is
	said  *OrderState // nil if the owner has no such order
}

// merge pairs two lists that are sorted by order, up to the end of the one that
// ends first: behind it, it may go on. An empty list has ended.
func merge(locks []Lock, said []OrderState) []pair {
	var pairs []pair
	for i, j := 0, 0; i < len(locks) || j < len(said); {
		if i == len(locks) && i > 0 || j == len(said) && j > 0 {
			break
		}
		switch {
		case j == len(said) || i < len(locks) && locks[i].OrderID < said[j].OrderID:
			pairs = append(pairs, pair{id: locks[i].OrderID, known: locks[i]})
			i++
		case i == len(locks) || said[j].OrderID < locks[i].OrderID:
			pairs = append(pairs, pair{id: said[j].OrderID, said: &said[j]})
			j++
		default:
			pairs = append(pairs, pair{said[j].OrderID, locks[i], &said[j]})
			i, j = i+1, j+1
		}
	}
	return pairs
}

// compare looks at one order. Whatever its owner cannot have meant is settled.
func (r *reconciliation) compare(ctx context.Context, p pair) error {
	if p.said == nil {
		if !p.known.takes() {
			return nil
		}
		return r.settle(ctx, p.id)
	}
	r.sum.Compared++
	if !p.said.differs(p.known) {
		return r.waits(ctx, p)
	}
	if p.said.Cancelled == p.known.takes() { // most likely its event was lost
		outcome, err := r.apply(ctx, *p.said)
		switch {
		case err != nil:
			return err
		case outcome == event.Early:
			r.sum.noTicket(*p.said)
			return nil
		case outcome == event.Applied:
			r.sum.count(*p.said)
			r.sum.Lost++
			return nil
		}
	}
	return r.settle(ctx, p.id)
}

// waits notes an order that waits for a ticket which was deleted: the order was
// made before that was heard of, and is never given it.
func (r *reconciliation) waits(ctx context.Context, p pair) error {
	if p.said.Cancelled || p.known.State != Waiting {
		return nil
	}
	t, err := r.store.Ticket(ctx, p.said.TicketID)
	if err == nil && t.Deleted || errors.Is(err, ErrNotFound) {
		r.sum.noTicket(*p.said)
		return nil
	}
	return err
}

// differs reports whether the owner's word is another than what is known, but
// for a version that merely moved on.
func (o OrderState) differs(known Lock) bool {
	switch {
	case o.Cancelled:
		return known.takes()
	case known.takes():
		return known.TicketID != o.TicketID || known.Version > o.Version
	}
	return true
}

// apply applies what the order's event would say.
func (s *Service) apply(ctx context.Context, o OrderState) (event.Outcome, error) {
	if o.Cancelled {
		return s.Release(ctx, o.cancelled())
	}
	return s.Lock(ctx, o.reserved())
}

// settle makes what is known of an order what its owner says of it now: what
// differs was known before the owner was asked, and never came from it. A lock
// that changes meanwhile is left to the next comparison.
func (r *reconciliation) settle(ctx context.Context, orderID string) error {
	known, err := r.known(ctx, orderID)
	if err != nil {
		return err
	}
	said, err := r.orders.Order(ctx, orderID)
	switch {
	case errors.Is(err, ErrNotFound):
		err = r.settleNoOrder(ctx, known)
	case err != nil:
		return err
	case said.differs(known):
		err = r.correct(ctx, known, said)
	}
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// settleNoOrder releases the lock of an order that its owner does not have, or
// reports it.
func (r *reconciliation) settleNoOrder(ctx context.Context, known Lock) error {
	switch {
	case !known.takes():
		return nil
	case !r.trust:
		r.sum.NoOrder++
		r.sum.Left = firstOf(r.sum.Left, Left{known.OrderID, known.TicketID})
		return nil
	}
	_, err := r.end(ctx, known, known.released())
	if err == nil {
		r.sum.Freed++
	}
	return err
}

// correct replaces what is known by what the owner says.
func (r *reconciliation) correct(ctx context.Context, known Lock, said OrderState) error {
	forged := known.State != "" && known.Version >= said.Version
	if known.takes() && !said.Cancelled && known.TicketID != said.TicketID {
		if _, err := r.end(ctx, known, known.released()); err != nil {
			return err
		}
		known.State, forged = Released, true
	}
	took := known.takes()
	var outcome event.Outcome
	var err error
	if said.Cancelled {
		outcome, err = r.end(ctx, known, said.cancelled())
	} else {
		outcome, err = r.hold(ctx, known, said.reserved())
	}
	switch {
	case err != nil:
		return err
	case forged:
		r.sum.Forged++
	case outcome == event.Applied:
		r.sum.Lost++
	}
	switch {
	case outcome == event.Early:
		r.sum.noTicket(said)
	case took == said.Cancelled:
		r.sum.count(said)
	}
	return nil
}

// ResetLock makes what is known of one order what its owner says of it,
// whatever it was: a lock of an order that its owner does not have is released.
// It returns both sides; a zero Lock means that nothing is known.
func (s *Service) ResetLock(ctx context.Context, orders Orders, orderID string) (before, after Lock, err error) {
	if before, err = s.known(ctx, orderID); err != nil {
		return Lock{}, Lock{}, fmt.Errorf("reset lock of order %s: %w", orderID, err)
	}
	r := &reconciliation{Service: s, orders: orders, trust: true}
	if err = r.settle(ctx, orderID); err == nil {
		after, err = s.known(ctx, orderID)
	}
	if err != nil {
		return Lock{}, Lock{}, fmt.Errorf("reset lock of order %s: %w", orderID, err)
	}
	return before, after, nil
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

// released returns the release of a lock that nobody asked for.
func (l Lock) released() event.Cancelled {
	return event.Cancelled{OrderID: l.OrderID, Version: l.Version, TicketID: l.TicketID}
}
