package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// maxDecisions bounds how often one call reads and decides again after a
// conflict. An order changes at most twice, so more rounds mean a broken store.
const maxDecisions = 8

// DefaultWindow is how long a reservation lasts, as the originals document it.
const DefaultWindow = 15 * time.Minute

// Options of a Service; the zero value is right for production.
type Options struct {
	Window time.Duration    // how long a reservation lasts; DefaultWindow if 0
	Now    func() time.Time // the clock; time.Now if nil
	NewID  func() string    // ids of new orders; objectid.New if nil
}

// Service applies the rules of orders. It keeps no state and may be used from
// many goroutines and in many processes on one store.
type Service struct {
	store   Store
	tickets Tickets
	window  time.Duration
	now     func() time.Time
	newID   func() string
}

// NewService returns a service over store that reads tickets from tickets.
func NewService(store Store, tickets Tickets, o Options) *Service {
	s := &Service{store: store, tickets: tickets, window: o.Window, now: o.Now, newID: o.NewID}
	if s.window == 0 {
		s.window = DefaultWindow
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.newID == nil {
		s.newID = objectid.New
	}
	return s
}

// View is an order with its ticket as the replica has it now, which may cost
// something else than what the order charged.
type View struct {
	Order
	Ticket Ticket
}

// Reserve creates an order of userID for the ticket, with its order:created
// event. It returns ErrNotFound if the replica does not know the ticket and
// ErrReserved if another active order has it.
func (s *Service) Reserve(ctx context.Context, userID, ticketID string) (View, error) {
	t, err := s.tickets.Ticket(ctx, ticketID)
	if err != nil {
		return View{}, fmt.Errorf("reserve ticket %s: %w", ticketID, err)
	}
	now := s.now().UTC()
	o := Order{
		ID: s.newID(), UserID: userID, Status: Created, Version: event.First,
		ExpiresAt: now.Add(s.window).Truncate(time.Millisecond), TicketID: t.ID, Price: t.Price,
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

// Order returns an order of userID: ErrNotFound, or ErrNotOwner if it is
// somebody else's.
func (s *Service) Order(ctx context.Context, userID, id string) (View, error) {
	o, err := s.owned(ctx, userID, id)
	if err != nil {
		return View{}, fmt.Errorf("order %s: %w", id, err)
	}
	views, err := s.view(ctx, []Order{o})
	if err != nil {
		return View{}, fmt.Errorf("order %s: %w", id, err)
	}
	return views[0], nil
}

// Orders returns the orders of userID in the order of their creation.
func (s *Service) Orders(ctx context.Context, userID string) ([]View, error) {
	var orders []Order
	for o, err := range s.store.Orders(ctx, userID) {
		if err != nil {
			return nil, fmt.Errorf("orders of user %s: %w", userID, err)
		}
		orders = append(orders, o)
	}
	return s.view(ctx, orders)
}

// Cancel cancels an order of userID, with its order:cancelled event. An order
// that is cancelled already stays so without a new event. It returns
// ErrNotFound, ErrNotOwner, or ErrComplete for an order that is paid.
func (s *Service) Cancel(ctx context.Context, userID, id string) error {
	if _, err := s.owned(ctx, userID, id); err != nil {
		return fmt.Errorf("cancel order %s: %w", id, err)
	}
	outcome, status, err := s.end(ctx, id, Cancelled)
	if err == nil && outcome == event.Duplicate && status == Complete {
		err = ErrComplete
	}
	if err != nil {
		return fmt.Errorf("cancel order %s: %w", id, err)
	}
	return nil
}

// Expire applies an expiration:complete event: the order is cancelled unless
// it has ended. Early means that the order is not known.
func (s *Service) Expire(ctx context.Context, e event.Expired) (event.Outcome, error) {
	return s.hear(ctx, "expire", e.OrderID, Cancelled)
}

// Complete applies a payment:created event: the order is complete unless it
// has ended. Early means that the order is not known.
func (s *Service) Complete(ctx context.Context, p event.Paid) (event.Outcome, error) {
	return s.hear(ctx, "complete", p.OrderID, Complete)
}

// hear ends an order because somebody else said so.
func (s *Service) hear(ctx context.Context, verb, id string, status Status) (event.Outcome, error) {
	outcome, _, err := s.end(ctx, id, status)
	if errors.Is(err, ErrNotFound) {
		return event.Early, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s order %s: %w", verb, id, err)
	}
	return outcome, nil
}

// end moves an order to its last status, with the event that belongs to it.
// An order that has ended is left alone: Duplicate, with the status it has.
func (s *Service) end(ctx context.Context, id string, status Status) (event.Outcome, Status, error) {
	for range maxDecisions {
		was, err := s.store.Order(ctx, id)
		if err != nil {
			return 0, "", err
		}
		if was.Status == Cancelled || was.Status == Complete {
			return event.Duplicate, was.Status, nil
		}
		c := Change{Was: &was, Now: was}
		c.Now.Status = status
		c.Now.Version++
		if status == Cancelled {
			e, err := c.Now.cancelled(s.now())
			if err != nil {
				return 0, "", err
			}
			c.Events = []event.Event{e}
		}
		err = s.store.Commit(ctx, c)
		if errors.Is(err, ErrConflict) {
			continue
		}
		return event.Applied, status, err
	}
	return 0, "", ErrConflict
}

// owned returns the order if it is userID's.
func (s *Service) owned(ctx context.Context, userID, id string) (Order, error) {
	o, err := s.store.Order(ctx, id)
	if err == nil && o.UserID != userID {
		err = ErrNotOwner
	}
	return o, err
}

// view joins orders with their tickets. A ticket the replica has lost is shown
// with what the order itself knows of it.
func (s *Service) view(ctx context.Context, orders []Order) ([]View, error) {
	ids := make([]string, len(orders))
	for i, o := range orders {
		ids[i] = o.TicketID
	}
	tickets, err := s.tickets.Tickets(ctx, ids)
	if err != nil {
		return nil, err
	}
	views := make([]View, len(orders))
	for i, o := range orders {
		t, ok := tickets[o.TicketID]
		if !ok {
			t = Ticket{ID: o.TicketID, Price: o.Price}
		}
		views[i] = View{Order: o, Ticket: t}
	}
	return views, nil
}
