// Package order holds the orders: their rules, the service that applies them,
// the expiry of reservations, and the port to where they are kept.
//
// It promises that a ticket has at most one active order, that an order's life
// only moves forward (created, then complete or cancelled, which are final),
// and that every change which others must know is stored together with its
// event.
//
// It reads tickets through a port of its own and never writes them: they
// belong to the tickets service.
package order
