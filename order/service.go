package order

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// maxDecisions bounds how often one call reads and decides again after a
// conflict. An order changes a few times in its life, so more rounds mean a
// broken store.
const maxDecisions = 8

// DefaultWindow is how long a reservation lasts, as the originals document it.
const DefaultWindow = 15 * time.Minute

// Options of a Service; the zero value is right for production.
type Options struct {
	Window time.Duration    // how long a reservation lasts; DefaultWindow if 0
	Now    func() time.Time // the clock; time.Now if nil
	NewID  func() string    // ids of new orders; objectid.New if nil

	// Payments is read before an order is cancelled because its time has
	// passed. Nil only where no payments are made.
	Payments Payments

	// OnRefund is told of each payment that must be given back, once it is
	// recorded. It may be called from many goroutines and must not block; nil
	// to log and count only.
	OnRefund func(context.Context, Payment)

	Metrics *Metrics     // counts; not counted if nil
	Log     *slog.Logger // discarded if nil
}

// Service applies the rules of orders. It may be used from many goroutines and
// in many processes on one store.
type Service struct {
	store   Store
	tickets Tickets
	window  time.Duration
	now     func() time.Time
	newID   func() string

	gate     *gate
	onRefund func(context.Context, Payment)
	onChange func(ticketID string) // of an order of it: a LockWatch looks at it
	metrics  *Metrics
	log      *slog.Logger
}

// NewService returns a service over store that reads tickets from tickets.
func NewService(store Store, tickets Tickets, o Options) *Service {
	s := &Service{
		store: store, tickets: tickets, window: o.Window, now: o.Now, newID: o.NewID,
		onRefund: o.OnRefund, onChange: func(string) {}, metrics: o.Metrics, log: o.Log,
	}
	if s.window == 0 {
		s.window = DefaultWindow
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.newID == nil {
		s.newID = objectid.New
	}
	if s.metrics == nil {
		s.metrics = NewMetrics(nil)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.gate = newGate(s, o.Payments)
	return s
}

// Reserve creates an order of userID for the ticket, with its order:created
// event. It returns ErrNotFound if the replica does not know the ticket and
// ErrReserved if another active order has it, or may have it: one that its owner
// keeps it locked for and that is not stored is lost, with what was paid for it.
func (s *Service) Reserve(ctx context.Context, userID, ticketID string) (View, error) {
	t, err := s.tickets.Ticket(ctx, ticketID)
	if err != nil {
		return View{}, fmt.Errorf("reserve ticket %s: %w", ticketID, err)
	}
	if lost, err := s.isLost(ctx, t.OrderID); err != nil || lost {
		return View{}, fmt.Errorf("reserve ticket %s, locked for order %s: %w", ticketID, t.OrderID, cmp.Or(err, ErrReserved))
	}
	now := s.now().UTC()
	o := Order{
		ID: s.newID(), UserID: userID, Status: Created, Version: event.First,
		ExpiresAt: now.Add(s.window).Truncate(time.Millisecond), TicketID: t.ID, Price: t.Price, LockFrom: t.Version + 1,
	}
	e, err := o.reserved(now)
	if err == nil {
		err = s.store.Commit(ctx, Change{Now: o, Events: []event.Event{e}})
	}
	if err != nil {
		return View{}, fmt.Errorf("reserve ticket %s: %w", ticketID, err)
	}
	return View{Order: o, Ticket: t}, nil
}

// isLost reports whether there is no order of that id, which may be "".
func (s *Service) isLost(ctx context.Context, id string) (bool, error) {
	if id == "" {
		return false, nil
	}
	_, err := s.store.Order(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case errors.Is(err, ErrUnreadable): // it is there
		return false, nil
	}
	return false, err
}

// Order returns an order of userID: ErrNotFound, or ErrNotOwner if it is
// somebody else's.
func (s *Service) Order(ctx context.Context, userID, id string) (View, error) {
	o, err := s.owned(ctx, userID, id)
	if err != nil {
		return View{}, fmt.Errorf("order %s: %w", id, err)
	}
	var v View
	s.view(ctx, []Order{o}, func(of View, e error) bool { v, err = of, e; return true })
	if err != nil {
		return View{}, fmt.Errorf("order %s: %w", id, err)
	}
	return v, nil
}

// Orders yields the orders of userID in the order of their creation. An error
// ends the sequence.
func (s *Service) Orders(ctx context.Context, userID string) iter.Seq2[View, error] {
	return func(yield func(View, error) bool) {
		var next []Order
		for o, err := range s.store.Orders(ctx, userID) {
			if err != nil {
				yield(View{}, err)
				return
			}
			if next = append(next, o); len(next) == viewOrders {
				if !s.view(ctx, next, yield) {
					return
				}
				next = next[:0]
			}
		}
		s.view(ctx, next, yield)
	}
}

// Cancel cancels an order of userID, with its order:cancelled event. An order
// that is cancelled already stays so without a new event. It returns
// ErrNotFound, ErrNotOwner, or ErrComplete for an order that is paid.
func (s *Service) Cancel(ctx context.Context, userID, id string) error {
	if _, err := s.owned(ctx, userID, id); err != nil {
		return fmt.Errorf("cancel order %s: %w", id, err)
	}
	d, err := s.apply(ctx, id, UserCancelled)
	if err == nil && d.Now.Status == Complete {
		err = ErrComplete
	}
	if err != nil {
		return fmt.Errorf("cancel order %s: %w", id, err)
	}
	return nil
}

// Expire applies an expiration:complete event: the order is cancelled unless
// it has ended, and not before all payments were applied that were announced
// until now. Early means that the order is not known.
func (s *Service) Expire(ctx context.Context, e event.Expired) (event.Outcome, error) {
	changed, err := s.expire(ctx, e.OrderID)
	switch {
	case errors.Is(err, ErrNotFound):
		return event.Early, nil
	case err != nil:
		return 0, fmt.Errorf("expire order %s: %w", e.OrderID, err)
	case !changed:
		return event.Duplicate, nil
	}
	return event.Applied, nil
}

func (s *Service) expire(ctx context.Context, id string) (changed bool, err error) {
	o, err := s.store.Order(ctx, id)
	if err != nil || !Decide(o, WindowPassed, "", false).changes() {
		return false, err
	}
	if err := s.gate.pass(ctx, s.madeAt(Due{OrderID: o.ID, ExpiresAt: o.ExpiresAt})); err != nil {
		return false, err
	}
	if err := s.gate.owes(ctx, id); err != nil {
		return false, err
	}
	d, err := s.apply(ctx, id, WindowPassed)
	return d.changes(), err
}

// TicketGone ends the order of a ticket that was removed from the replica because
// its owner never had it. One that is paid is left to a person, and so is one whose
// ticket is there again.
func (s *Service) TicketGone(ctx context.Context, ticketID string) error {
	if _, err := s.tickets.Ticket(ctx, ticketID); !errors.Is(err, ErrNotFound) {
		return err
	}
	id, err := s.store.Active(ctx, ticketID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	var d Decision
	if err == nil {
		d, err = s.apply(ctx, id, TicketGone)
	}
	if err != nil {
		return fmt.Errorf("end the order of ticket %s, which is gone: %w", ticketID, err)
	}
	if d.changes() {
		s.log.InfoContext(ctx, "an order is cancelled: the owner of its ticket never had it", "order_id", id, "ticket_id", ticketID)
	}
	return nil
}

// apply stores what follows for an order from what happened, and returns it.
func (s *Service) apply(ctx context.Context, id string, h Happening) (Decision, error) {
	for range maxDecisions {
		was, err := s.store.Order(ctx, id)
		if err != nil {
			return Decision{}, err
		}
		d := Decide(was, h, "", false)
		err = s.commit(ctx, d, nil)
		if errors.Is(err, ErrConflict) {
			continue
		}
		return d, err
	}
	return Decision{}, ErrConflict
}

// commit stores a decision with its event and the payment that led to it.
func (s *Service) commit(ctx context.Context, d Decision, p *Payment) error {
	c := Change{Payment: p}
	if d.changes() {
		c.Was, c.Now = &d.Was, d.Now
	}
	var err error
	if c.Events, err = d.events(s.now()); err != nil {
		return err
	}
	if c.Was == nil && p == nil {
		return nil
	}
	err = s.store.Commit(ctx, c)
	s.onChange(d.Now.TicketID) // with an error, too: it may be stored all the same
	return err
}

// owned returns the order if it is userID's.
func (s *Service) owned(ctx context.Context, userID, id string) (Order, error) {
	o, err := s.store.Order(ctx, id)
	if err == nil && o.UserID != userID {
		err = ErrNotOwner
	}
	return o, err
}
