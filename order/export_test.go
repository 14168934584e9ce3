package order

import (
	"context"
	"errors"
)

// Sweep is one look for overdue orders.
func (e *Expiry) Sweep(ctx context.Context) { e.sweep(ctx) }

// Look is one look for wrong locks, at all tickets if full.
func (w *LockWatch) Look(ctx context.Context, full bool) error { return w.look(ctx, full) }

// IsOwed reports whether an order was left alone because its payment is not
// applied yet.
func IsOwed(err error) bool { return errors.Is(err, errOwed) }
