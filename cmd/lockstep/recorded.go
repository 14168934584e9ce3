package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"lockstep/incident"
	"lockstep/order"
	"lockstep/outbox"
)

// recordPage is how many records are looked at each time.
const recordPage = 256

// recorded is a cause whose subjects are records of the store. They tell when
// an incident is over, and of those that were not raised because the process
// was killed between the record and the raise.
type recorded struct {
	log   *incident.Log
	cause incident.Cause

	// over returns how the record of an incident ended; "" if it did not.
	over func(ctx context.Context, subject string) (ending string, err error)

	// bad returns the records that call for an incident, as a function by
	// subject that raises it; nil if whoever finds them finds them again.
	bad func(ctx context.Context) (map[string]func(), error)

	behind string          // the open incident to go on behind
	seen   map[string]bool // of bad, at the last look
}

func (r *recorded) look(ctx context.Context) error {
	if r.bad == nil {
		return r.resolve(ctx)
	}
	return errors.Join(r.resolve(ctx), r.raise(ctx))
}

// resolve closes incidents that are over, a page at a time.
func (r *recorded) resolve(ctx context.Context) error {
	open, err := r.next(ctx)
	if err != nil {
		return err
	}
	for _, i := range open {
		ending, err := r.over(ctx, i.Subject)
		if err != nil {
			return err
		}
		if ending != "" {
			r.log.Resolve(r.cause, i.Subject, ending)
		}
	}
	return nil
}

// next returns the next page of open incidents, the first one behind the last.
func (r *recorded) next(ctx context.Context) ([]incident.Incident, error) {
	q := incident.Query{Cause: r.cause, OpenOnly: true, Before: r.behind, Limit: recordPage}
	open, err := r.log.Incidents(ctx, q)
	if err == nil && len(open) == 0 && r.behind != "" {
		q.Before = ""
		open, err = r.log.Incidents(ctx, q)
	}
	if err != nil {
		return nil, err
	}
	r.behind = ""
	if len(open) > 0 {
		r.behind = open[len(open)-1].ID
	}
	return open, nil
}

// raise raises what is bad and was never raised; what an operator closed stays
// closed.
func (r *recorded) raise(ctx context.Context) error {
	bad, err := r.bad(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for subject, raise := range bad {
		if !r.seen[subject] {
			known, err := r.log.Known(ctx, r.cause, subject)
			if err != nil {
				return err
			}
			if !known {
				raise()
			}
		}
		seen[subject] = true
	}
	r.seen = seen
	return nil
}

// unpublished are the events that reached the threshold.
func (s *service) unpublished() *recorded {
	return &recorded{
		log: s.incidents, cause: incident.EventUnpublished,
		over: func(ctx context.Context, id string) (string, error) {
			_, err := s.store.outbox.Record(ctx, id)
			if errors.Is(err, outbox.ErrNotFound) {
				return "the event has left the outbox: it was published, or discarded", nil
			}
			return "", err
		},
		bad: func(ctx context.Context) (map[string]func(), error) {
			whenever := time.Now()
			heads, err := s.store.outbox.Due(ctx, whenever, whenever, recordPage)
			bad := map[string]func(){}
			for _, r := range heads {
				if r.Failures.Total >= threshold {
					bad[r.ID()] = func() { s.raiseUnpublished(ctx, r) }
				}
			}
			return bad, err
		},
	}
}

// refunds are the payments that must be given back.
func (s *service) refunds() *recorded {
	return &recorded{
		log: s.incidents, cause: incident.MoneyWithoutGoods,
		over: func(ctx context.Context, id string) (string, error) {
			p, err := s.store.orders.Payment(ctx, id)
			switch {
			case errors.Is(err, order.ErrNotFound):
				return "the payment is not recorded any more", nil
			case err == nil && !p.SettledAt.IsZero():
				return "the money was given back", nil
			}
			return "", err
		},
		bad: func(ctx context.Context) (map[string]func(), error) {
			open, err := s.store.orders.Refunds(ctx, true, "", recordPage)
			bad := map[string]func(){}
			for _, p := range open {
				bad[p.ID()] = func() { s.raiseRefund(ctx, p) }
			}
			return bad, err
		},
	}
}

// wrongLocks are the orders whose ticket stays locked otherwise, whatever is
// announced. A process that starts announces them again, or gives them up again.
func (s *service) wrongLocks() *recorded {
	return &recorded{
		log: s.incidents, cause: incident.WrongLock,
		over: func(ctx context.Context, orderID string) (string, error) {
			o, err := s.store.orders.Order(ctx, orderID)
			if err != nil && !errors.Is(err, order.ErrNotFound) {
				return "", err
			}
			locks, err := s.store.orderTickets.Locks(ctx, []string{o.TicketID})
			if err != nil || slices.ContainsFunc(locks, func(l order.Lock) bool { return l.Left.ID == o.ID || l.Active.ID == o.ID }) {
				return "", err
			}
			return "the ticket is locked as it should be", nil
		},
	}
}
