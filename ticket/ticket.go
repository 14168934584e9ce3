package ticket

import (
	"time"

	"lockstep/event"
)

// Ticket is the canonical record.
type Ticket struct {
	ID      string // 24 hexadecimal digits
	Title   string
	Price   float64 // a JavaScript number, as on the bus
	UserID  string  // the owner
	Version int64   // 0 when created, +1 with every change
	OrderID string  // the order that holds the ticket; "" while it is free
	Deleted bool    // kept, so that the id is never used again and late orders find it

	// Revision counts the writes of the stored record. It moves with every
	// change and also when the ticket is only guarded (see Change), so it
	// tells decisions apart that left the version alone. Stores keep it; the
	// service only passes back what it read.
	Revision int64
}

// payload returns what the bus says of t.
func (t Ticket) payload() event.Ticket {
	return event.Ticket{ID: t.ID, Title: t.Title, Price: t.Price, UserID: t.UserID, Version: t.Version, OrderID: t.OrderID}
}

// announce returns the event that tells others of t as it is now; locked says
// that its lock was taken or released.
func (t Ticket) announce(at time.Time, locked bool) (event.Event, error) {
	switch {
	case t.Deleted:
		return t.payload().Deleted(at)
	case t.Version == event.First:
		return t.payload().Created(at)
	case locked:
		return t.payload().Locked(at)
	default:
		return t.payload().Updated(at)
	}
}

// LockState is what the latest event of an order said of its ticket. It only
// moves on with the order's version, but for a waiting order that gets its
// ticket.
type LockState string

// The states of a lock.
const (
	Held      LockState = "held"      // the order holds the ticket
	Waiting   LockState = "waiting"   // another order holds the ticket; this one takes it after that
	Released  LockState = "released"  // the order was cancelled
	Tombstone LockState = "tombstone" // the order was cancelled before its creation was heard of
)

// LockStates returns every state.
func LockStates() []LockState { return []LockState{Held, Waiting, Released, Tombstone} }

// Lock is what the tickets service knows of one order.
type Lock struct {
	OrderID  string
	TicketID string
	Version  int64 // of the latest event that was applied
	State    LockState
	Since    time.Time // when this state began; waiting orders are served oldest first
}

// takes reports whether the order has the ticket, or waits for it.
func (l Lock) takes() bool { return l.State == Held || l.State == Waiting }

// ended reports whether the order was cancelled.
func (l Lock) ended() bool { return l.State == Released || l.State == Tombstone }
