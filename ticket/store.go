package ticket

import (
	"context"
	"errors"
	"iter"

	"lockstep/event"
)

// Errors that stores and the service return. Match with errors.Is.
var (
	// ErrNotFound: no such ticket, or no such lock.
	ErrNotFound = errors.New("not found")

	// ErrConflict: somebody else changed the record since it was read.
	ErrConflict = errors.New("changed by somebody else")

	// ErrUnreadable: what is stored of the ticket or the lock cannot be read.
	ErrUnreadable = errors.New("the stored record cannot be read")

	// ErrUnknown: the store cannot say whether the change was committed.
	// Reading the record tells.
	ErrUnknown = errors.New("outcome unknown")

	// ErrNotOwner: the ticket belongs to another user.
	ErrNotOwner = errors.New("not the owner")

	// ErrOtherVersion: the ticket has a version that the edit may not be made of.
	ErrOtherVersion = errors.New("at another version")

	// ErrReserved: an order holds the ticket.
	ErrReserved = errors.New("reserved by an order")
)

// Reader gives what a decision is made from. Its methods may be called from
// many goroutines, hold no lock and see every change whose Commit returned.
type Reader interface {
	// Ticket returns the ticket, a deleted one too, or ErrNotFound.
	Ticket(ctx context.Context, id string) (Ticket, error)

	// Free yields the tickets that are neither held nor deleted, in the order
	// in which they were created. An error ends the sequence. The store may
	// not be written by the loop's body.
	Free(ctx context.Context) iter.Seq2[Ticket, error]

	// Lock returns what is known of the order, or ErrNotFound.
	Lock(ctx context.Context, orderID string) (Lock, error)

	// NextWaiting returns the order that has waited longest for the ticket
	// (smallest Since, then OrderID), or ErrNotFound.
	NextWaiting(ctx context.Context, ticketID string) (Lock, error)

	// Locks returns up to limit locks, ended ones too, of orders with an id
	// above after, by that id: fewer if they are large, none behind the last
	// one.
	Locks(ctx context.Context, after string, limit int) ([]Lock, error)

	// Waiting returns how many orders wait for a ticket that another one holds.
	Waiting(ctx context.Context) (int, error)

	// Page returns up to limit tickets, held and deleted ones too, with an id
	// above after, by id: fewer if they are large, none behind the last one.
	// It is what replicas are compared with and filled from.
	Page(ctx context.Context, after string, limit int) ([]Ticket, error)
}

// Store keeps tickets, locks and the events of their changes.
type Store interface {
	Reader

	// Commit makes the change durable: all of it, events included, or nothing.
	//
	// It returns ErrConflict when a condition of the change no longer holds
	// and ErrUnknown when the engine lost the answer and reading back did not
	// settle it; with any other error nothing was stored. It may be called
	// from many goroutines; callers that wait at the same moment share one
	// transaction, and one that fails spoils nobody else's.
	Commit(ctx context.Context, c Change) error
}

// Change is a set of conditional writes that were decided together.
type Change struct {
	// Was is the ticket as it was read, Now as it becomes.
	//
	//	Was nil, Now set   create; conflicts if the id exists
	//	both set           write Now if the stored ticket still has Was's
	//	                   version and revision
	//	Now nil, Was set   guard: nothing of the ticket is written but its
	//	                   revision; conflicts like a write. For decisions that
	//	                   depend on the ticket staying as it is
	//	both nil           the change does not depend on a ticket
	//
	// Stores ignore Now.Revision and raise the stored one.
	Was, Now *Ticket

	// Locks are written with the ticket.
	Locks []LockChange

	// Events enter the outbox with the change.
	Events []event.Event
}

// LockChange writes one lock on the condition that it is still as it was.
type LockChange struct {
	Was Lock // as it was read: its state and version must still be these; zero if the order was not known
	Now Lock
}
