package ticket

import (
	"context"
	"errors"
	"fmt"

	"lockstep/event"
)

// Lock applies an order:created event: the ticket is held for that order, or
// the order waits if another one holds it. It returns
//
//	Applied    the lock is durable, as held or as waiting
//	Duplicate  the order was known already: nothing was written
//	Early      the ticket is not known: nothing was written
//
// and an error when the store failed or other writers kept winning; the event
// may then be tried again.
func (s *Service) Lock(ctx context.Context, r event.Reserved) (event.Outcome, error) {
	for range maxDecisions {
		outcome, err := s.lockOnce(ctx, r)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("lock ticket %s for order %s: %w", r.TicketID, r.OrderID, err)
		}
		return outcome, nil
	}
	return 0, fmt.Errorf("lock ticket %s for order %s: %w", r.TicketID, r.OrderID, ErrConflict)
}

func (s *Service) lockOnce(ctx context.Context, r event.Reserved) (event.Outcome, error) {
	if _, err := s.store.Lock(ctx, r.OrderID); err == nil {
		return event.Duplicate, nil
	} else if !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	was, err := s.store.Ticket(ctx, r.TicketID)
	if errors.Is(err, ErrNotFound) {
		return event.Early, nil
	}
	if err != nil {
		return 0, err
	}
	lock := LockChange{Now: Lock{OrderID: r.OrderID, TicketID: r.TicketID, Version: r.Version, Since: s.now()}}
	switch {
	case was.OrderID == r.OrderID: // locked by a service that keeps no locks of its own
		lock.Now.State = Held
		return s.record(ctx, Change{Was: &was, Locks: []LockChange{lock}})
	case was.OrderID != "" || was.Deleted:
		lock.Now.State = Waiting
		outcome, err := s.record(ctx, Change{Was: &was, Locks: []LockChange{lock}})
		if err == nil {
			s.metrics.conflict()
		}
		return outcome, err
	}
	lock.Now.State = Held
	now := was
	now.Version++
	now.OrderID = r.OrderID
	if err := s.commit(ctx, &was, &now, lock); err != nil {
		return 0, err
	}
	return event.Applied, nil
}

// Release applies an order:cancelled event: the ticket is freed if that very
// order holds it, and passes to the order that waited longest, if any. A
// release that comes before its lock leaves a tombstone. Outcomes and errors
// are those of Lock, without Early.
func (s *Service) Release(ctx context.Context, c event.Cancelled) (event.Outcome, error) {
	for range maxDecisions {
		outcome, err := s.releaseOnce(ctx, c)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("release ticket %s of order %s: %w", c.TicketID, c.OrderID, err)
		}
		return outcome, nil
	}
	return 0, fmt.Errorf("release ticket %s of order %s: %w", c.TicketID, c.OrderID, ErrConflict)
}

func (s *Service) releaseOnce(ctx context.Context, c event.Cancelled) (event.Outcome, error) {
	known, err := s.store.Lock(ctx, c.OrderID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	if known.State == Released || known.State == Tombstone {
		return event.Duplicate, nil
	}
	if known.TicketID == "" {
		known.TicketID = c.TicketID
	}
	was, err := s.store.Ticket(ctx, known.TicketID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	end := LockChange{Was: known.State, Now: Lock{
		OrderID: c.OrderID, TicketID: known.TicketID, Version: max(c.Version, known.Version), State: Released, Since: s.now(),
	}}
	switch {
	case err == nil && was.OrderID == c.OrderID:
		return s.free(ctx, was, end)
	case known.State == "":
		end.Now.State = Tombstone
	}
	return s.record(ctx, Change{Locks: []LockChange{end}})
}

// free ends the hold of end's order on the ticket and hands it to the order
// that has waited longest. Both are one change of the ticket.
func (s *Service) free(ctx context.Context, was Ticket, end LockChange) (event.Outcome, error) {
	now := was
	now.Version++
	now.OrderID = ""
	locks := []LockChange{end}
	next, err := s.store.NextWaiting(ctx, was.ID)
	switch {
	case err == nil:
		now.OrderID = next.OrderID
		promoted := next
		promoted.State, promoted.Since = Held, s.now()
		locks = append(locks, LockChange{Was: Waiting, Now: promoted})
	case !errors.Is(err, ErrNotFound):
		return 0, err
	}
	if err := s.commit(ctx, &was, &now, locks...); err != nil {
		return 0, err
	}
	return event.Applied, nil
}

// record stores a change of locks alone.
func (s *Service) record(ctx context.Context, c Change) (event.Outcome, error) {
	if err := s.store.Commit(ctx, c); err != nil {
		return 0, err
	}
	return event.Applied, nil
}

// KnownLock returns what is known of an order, or ErrNotFound.
func (s *Service) KnownLock(ctx context.Context, orderID string) (Lock, error) {
	l, err := s.store.Lock(ctx, orderID)
	if err != nil {
		return Lock{}, fmt.Errorf("lock of order %s: %w", orderID, err)
	}
	return l, nil
}
