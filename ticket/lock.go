package ticket

import (
	"context"
	"errors"
	"fmt"

	"lockstep/event"
)

// What is known of an order is a register: the event of the highest version
// counts. So the events of one order may come in any order and any number of
// times, and always end in the same state.

// Lock applies an order:created event: the ticket is held for that order, or
// the order waits if another one holds it. It returns
//
//	Applied    what the event says is durable, as held or as waiting
//	Duplicate  this version, or a later one, was known: nothing was written
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
	known, err := s.known(ctx, r.OrderID)
	if err != nil {
		return 0, err
	}
	if known.State != "" && r.Version <= known.Version {
		return event.Duplicate, nil
	}
	return s.hold(ctx, known, r)
}

// hold decides what r says, whatever version is known.
func (s *Service) hold(ctx context.Context, known Lock, r event.Reserved) (event.Outcome, error) {
	lock := LockChange{Was: known, Now: Lock{OrderID: r.OrderID, TicketID: r.TicketID, Version: r.Version, Since: s.now()}}
	if known.takes() { // it has, or waits for, its ticket: only the version moves on
		lock.Now.TicketID, lock.Now.State, lock.Now.Since = known.TicketID, known.State, known.Since
		return s.record(ctx, Change{Locks: []LockChange{lock}})
	}
	was, err := s.store.Ticket(ctx, r.TicketID)
	if errors.Is(err, ErrNotFound) {
		return event.Early, nil
	}
	if err != nil {
		return 0, err
	}
	return s.take(ctx, was, lock)
}

// take gives the ticket to the order of lock, or lets it wait.
func (s *Service) take(ctx context.Context, was Ticket, lock LockChange) (event.Outcome, error) {
	switch {
	case was.OrderID == lock.Now.OrderID: // locked by a service that keeps no locks of its own
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
	now.OrderID = lock.Now.OrderID
	if err := s.commit(ctx, &was, &now, lock); err != nil {
		return 0, err
	}
	return event.Applied, nil
}

// known returns what is known of an order; its state is "" if nothing is.
func (s *Service) known(ctx context.Context, orderID string) (Lock, error) {
	l, err := s.store.Lock(ctx, orderID)
	if errors.Is(err, ErrNotFound) {
		return Lock{}, nil
	}
	return l, err
}

// Release applies an order:cancelled event: the ticket is freed if that very
// order holds it, and passes to the order that waited longest, if any. A
// release that comes before its lock leaves a tombstone, and one that is older
// than the lock does nothing. Outcomes and errors are those of Lock, without
// Early.
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
	known, err := s.known(ctx, c.OrderID)
	if err != nil {
		return 0, err
	}
	if c.Version < known.Version || c.Version == known.Version && known.ended() {
		return event.Duplicate, nil
	}
	return s.end(ctx, known, c)
}

// end decides what c says, whatever version is known.
func (s *Service) end(ctx context.Context, known Lock, c event.Cancelled) (event.Outcome, error) {
	end := LockChange{Was: known, Now: Lock{OrderID: c.OrderID, TicketID: c.TicketID, Version: c.Version, State: Released, Since: s.now()}}
	if known.State != "" {
		end.Now.TicketID = known.TicketID
	}
	was, err := s.store.Ticket(ctx, end.Now.TicketID)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	switch {
	case err == nil && was.OrderID == c.OrderID:
		return s.free(ctx, was, end)
	case !known.takes() && known.State != Released:
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
		locks = append(locks, LockChange{Was: next, Now: promoted})
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
