package order

import "context"

// Sweep is one look for overdue orders.
func (e *Expiry) Sweep(ctx context.Context) { e.sweep(ctx) }
