package order

import (
	"context"
	"errors"
	"iter"
	"time"

	"lockstep/event"
)

// Errors that stores and the service return. Match with errors.Is.
var (
	// ErrNotFound: no such order, or no such ticket in the replica.
	ErrNotFound = errors.New("not found")

	// ErrConflict: somebody else changed the order since it was read.
	ErrConflict = errors.New("changed by somebody else")

	// ErrUnreadable: what is stored of the order, or of the ticket, cannot be
	// read.
	ErrUnreadable = errors.New("the stored record cannot be read")

	// ErrUnknown: the store cannot say whether the change was committed.
	ErrUnknown = errors.New("outcome unknown")

	// ErrSuspended: the store has lost what keeps a ticket from being sold
	// twice; nothing was stored. It comes back by itself, or its check in
	// readiness says what to do.
	ErrSuspended = errors.New("reservations are suspended")

	// ErrReserved: another active order has the ticket.
	ErrReserved = errors.New("ticket is already reserved")

	// ErrNotOwner: the order belongs to another user.
	ErrNotOwner = errors.New("not the owner")

	// ErrComplete: the order is paid and cannot be cancelled.
	ErrComplete = errors.New("order is complete")
)

// Store keeps orders and the events of their changes. Its methods may be
// called from many goroutines; reads see every change whose Commit returned.
type Store interface {
	Ledger

	// Order returns one order, or ErrNotFound.
	Order(ctx context.Context, id string) (Order, error)

	// Active returns the id of the active order of a ticket, or ErrNotFound.
	Active(ctx context.Context, ticketID string) (string, error)

	// Orders yields the orders of one user in the order of their creation. An
	// error ends the sequence.
	Orders(ctx context.Context, userID string) iter.Seq2[Order, error]

	// Expired yields the orders of status Created whose ExpiresAt is not after
	// now, longest overdue first, and those that do not say when they end, whose
	// ExpiresAt is zero. Orders may be written by the loop's body. An
	// error ends the sequence; a record that cannot be read does not.
	Expired(ctx context.Context, now time.Time) iter.Seq2[Due, error]

	// Page returns up to limit orders of all users with an id above after, by
	// id: fewer if they are large, none behind the last one. It is what the
	// locks of the tickets service are compared with.
	Page(ctx context.Context, after string, limit int) ([]Order, error)

	// Commit makes the change durable: order, payment and events, or nothing.
	// It returns ErrReserved when the ticket has another active order,
	// ErrSuspended when the store cannot tell, ErrConflict when the order is no longer as it was or the payment is
	// known, ErrUnknown when the engine lost the answer and reading back did
	// not settle it; with any other error nothing was stored.
	Commit(ctx context.Context, c Change) error
}

// Due names an order whose window has passed.
type Due struct {
	OrderID   string
	ExpiresAt time.Time // zero if the order does not say
}

// Change is a set of conditional writes that were decided together.
type Change struct {
	// Was is the order as it was read, nil to create Now. Now is written if the
	// stored order still has Was's version; without an ID no order is written.
	// What Was and Now agree on is left as it lies in the store.
	Was *Order
	Now Order

	Payment *Payment // what becomes of a payment that was not known; nil if none came
	Events  []event.Event
}

// Tickets is the replica, as orders read it.
type Tickets interface {
	// Ticket returns the replica's ticket; ErrNotFound if it is unknown or
	// deleted.
	Ticket(ctx context.Context, id string) (Ticket, error)

	// Tickets yields those of ids that the replica has, deleted ones too, each
	// once: an order of a deleted ticket still shows what was bought. An error
	// ends the sequence.
	Tickets(ctx context.Context, ids []string) iter.Seq2[Ticket, error]

	// TicketIDs returns up to limit tickets that the replica has, with an id
	// above after, by id: fewer if their rows are large, none behind the last.
	TicketIDs(ctx context.Context, after string, limit int) ([]string, error)

	// Locks returns those of the tickets whose lock is wrong, by id; see Lock.
	// A deleted ticket has none.
	Locks(ctx context.Context, ticketIDs []string) ([]Lock, error)
}
