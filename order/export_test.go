package order

import (
	"context"
	"errors"
)

// Sweep is one look for overdue orders.
func (e *Expiry) Sweep(ctx context.Context) { e.sweep(ctx) }

// IsOwed reports whether an order was left alone because its payment is not
// applied yet.
func IsOwed(err error) bool { return errors.Is(err, errOwed) }
