// Package order holds the orders: their rules, the service that applies them,
// the expiry of reservations, and the port to where they are kept.
//
// It promises that a ticket has at most one active order, that an order's life
// goes as Decide says, that no payment is passed over in silence (its order is
// complete by it, or it is recorded to be given back), and that every change
// which others must know is stored together with its event.
//
// It reads tickets through a port of its own and never writes them: they
// belong to the tickets service.
package order
