package order

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"lockstep/event"
)

// expiryBatch is how many overdue orders one look at the store returns.
const expiryBatch = 256

// Expiry cancels reservations whose window has passed. Several processes may
// run it on one store: an order is cancelled once, by whoever is first.
type Expiry struct {
	service  *Service
	interval time.Duration
	log      *slog.Logger
}

// NewExpiry returns the job; it looks at the store once per interval (1 s
// if 0).
func NewExpiry(s *Service, interval time.Duration, log *slog.Logger) *Expiry {
	if interval == 0 {
		interval = time.Second
	}
	return &Expiry{service: s, interval: interval, log: log}
}

// Run works until ctx ends and returns nil then.
func (e *Expiry) Run(ctx context.Context) error {
	tick := time.NewTicker(e.interval)
	defer tick.Stop()
	for {
		if err := e.sweep(ctx); err != nil && ctx.Err() == nil {
			e.log.WarnContext(ctx, "expiry of orders will be tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep cancels everything that is overdue. One order that cannot be cancelled
// does not keep the others.
func (e *Expiry) sweep(ctx context.Context) error {
	for {
		overdue, err := e.service.store.Expired(ctx, e.service.now(), expiryBatch)
		if err != nil || len(overdue) == 0 {
			return err
		}
		var failed []error
		for _, o := range overdue {
			if _, err := e.service.Expire(ctx, event.Expired{OrderID: o.ID}); err != nil {
				failed = append(failed, err)
			}
		}
		if len(failed) > 0 {
			return errors.Join(failed...)
		}
	}
}
