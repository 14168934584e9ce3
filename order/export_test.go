package order

import (
	"context"
	"errors"
)

// Sweep is one look for overdue orders.
func (e *Expiry) Sweep(ctx context.Context) { e.sweep(ctx) }

// Look is one look for locks left behind, at all tickets if full.
func (r *Releases) Look(ctx context.Context, full bool) error { return r.look(ctx, full) }

// ReleaseAgain announces a cancellation again.
func (s *Service) ReleaseAgain(ctx context.Context, id string) error {
	_, err := s.apply(ctx, id, LockLeft)
	return err
}

// IsOwed reports whether an order was left alone because its payment is not
// applied yet.
func IsOwed(err error) bool { return errors.Is(err, errOwed) }
