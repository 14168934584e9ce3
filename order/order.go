package order

import (
	"slices"
	"time"

	"lockstep/event"
)

// Status is how far an order has come.
type Status string

// The statuses. AwaitingPayment is part of the contract and never set here.
const (
	Created         Status = "created"
	AwaitingPayment Status = "awaiting:payment"
	Complete        Status = "complete"
	Cancelled       Status = "cancelled"
)

// Active lists the statuses in which an order takes its ticket from everybody
// else. The store's unique index covers exactly these.
func Active() []Status { return []Status{Created, AwaitingPayment, Complete} }

// Known reports whether s is a status.
func (s Status) Known() bool { return s == Cancelled || slices.Contains(Active(), s) }

// Order is a reservation of one ticket by one user.
type Order struct {
	ID        string // 24 hexadecimal digits
	UserID    string
	Status    Status
	ExpiresAt time.Time // UTC, whole milliseconds
	TicketID  string
	Price     float64 // the ticket's price when it was reserved
	Version   int64   // 0 when created, +1 with every change
	LockFrom  int64   // the first version of the ticket that may show the lock that was last announced; 0 if that is not known
	PaidBy    string  // the payment that it is complete by; "" if it is not, or a service completed it that does not keep it
}

// Ticket is what the replica says of a ticket.
type Ticket struct {
	ID      string
	Title   string
	Price   float64
	Version int64
	OrderID string // that it is locked for; "" if for none, or if its tickets service does not tell
}

// reserved returns the order:created event of o.
func (o Order) reserved(at time.Time) (event.Event, error) {
	return event.Reserved{
		OrderID: o.ID, Version: o.Version, UserID: o.UserID,
		ExpiresAt: o.ExpiresAt, TicketID: o.TicketID, TicketPrice: o.Price,
	}.Event(at)
}

// cancelled returns the order:cancelled event of o.
func (o Order) cancelled(at time.Time) (event.Event, error) {
	return event.Cancelled{OrderID: o.ID, Version: o.Version, TicketID: o.TicketID}.Event(at)
}
