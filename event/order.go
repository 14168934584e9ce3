package event

import (
	"cmp"
	"time"
)

// Reserved is the payload of order:created.
type Reserved struct {
	OrderID     string
	Version     int64
	UserID      string
	ExpiresAt   time.Time
	TicketID    string
	TicketPrice float64 // what the buyer is charged: the replica's price at the reservation
}

type reservedTicket struct {
	ID    string  `json:"id"`
	Price float64 `json:"price"`
}

type reservedPayload struct {
	ID        string         `json:"id"`
	Version   int64          `json:"version"`
	Status    string         `json:"status"`
	UserID    string         `json:"userId"`
	ExpiresAt string         `json:"expiresAt"`
	Ticket    reservedTicket `json:"ticket"`
}

// Event returns the order:created event of r, which happened at.
func (r Reserved) Event(at time.Time) (Event, error) {
	return build(OrderCreated, r.OrderID, r.Version, at, reservedPayload{
		ID: r.OrderID, Version: r.Version, Status: "created", UserID: r.UserID,
		ExpiresAt: FormatTime(r.ExpiresAt),
		Ticket:    reservedTicket{ID: r.TicketID, Price: r.TicketPrice},
	})
}

// DecodeReserved reads what a lock needs of a payload of order:created: the
// order's id and version and the ticket's id. Whatever else it holds, or lacks,
// is nothing to a lock. Every error wraps ErrInvalid.
func DecodeReserved(data []byte) (Reserved, error) {
	o, err := decodeObject(data)
	if err != nil {
		return Reserved{}, err
	}
	var r Reserved
	r.OrderID, r.Version, r.TicketID, err = o.orderOfTicket()
	return r, err
}

// Cancelled is the payload of order:cancelled.
type Cancelled struct {
	OrderID  string
	Version  int64
	TicketID string
}

type cancelledTicket struct {
	ID string `json:"id"`
}

type cancelledPayload struct {
	ID      string          `json:"id"`
	Version int64           `json:"version"`
	Ticket  cancelledTicket `json:"ticket"`
}

// Event returns the order:cancelled event of c, which happened at.
func (c Cancelled) Event(at time.Time) (Event, error) {
	return build(OrderCancelled, c.OrderID, c.Version, at, cancelledPayload{
		ID: c.OrderID, Version: c.Version, Ticket: cancelledTicket{ID: c.TicketID},
	})
}

// DecodeCancelled reads a payload of order:cancelled. Every error wraps
// ErrInvalid.
func DecodeCancelled(data []byte) (Cancelled, error) {
	o, err := decodeObject(data)
	if err != nil {
		return Cancelled{}, err
	}
	var c Cancelled
	c.OrderID, c.Version, c.TicketID, err = o.orderOfTicket()
	return c, err
}

// orderOfTicket reads what both order events share.
func (o object) orderOfTicket() (id string, version int64, ticketID string, err error) {
	if id, err = o.id("id"); err != nil {
		return "", 0, "", err
	}
	if version, err = o.version("version"); err != nil {
		return "", 0, "", err
	}
	ticket, err := o.object("ticket")
	if err != nil {
		return "", 0, "", err
	}
	if ticketID, err = ticket.id("id"); err != nil {
		return "", 0, "", err
	}
	return id, version, ticketID, nil
}

// Expired is the payload of expiration:complete.
type Expired struct {
	OrderID string `json:"orderId"`
}

// DecodeExpired reads a payload of expiration:complete. Every error wraps
// ErrInvalid.
func DecodeExpired(data []byte) (Expired, error) {
	o, err := decodeObject(data)
	if err != nil {
		return Expired{}, err
	}
	id, err := o.id("orderId")
	return Expired{OrderID: id}, err
}

// Paid is the payload of payment:created.
type Paid struct {
	ID       string `json:"id"`
	OrderID  string `json:"orderId"`
	StripeID string `json:"stripeId"`
}

// Name tells the payments of one order apart: the payment's id, or its
// stripeId if it has none.
func (p Paid) Name() string { return cmp.Or(p.ID, p.StripeID, "unnamed") }

// DecodePaid reads a payload of payment:created. Every error wraps ErrInvalid.
func DecodePaid(data []byte) (Paid, error) {
	o, err := decodeObject(data)
	if err != nil {
		return Paid{}, err
	}
	var p Paid
	if p.OrderID, err = o.id("orderId"); err != nil {
		return Paid{}, err
	}
	if p.ID, err = o.name("id"); err != nil {
		return Paid{}, err
	}
	if p.StripeID, err = o.name("stripeId"); err != nil {
		return Paid{}, err
	}
	return p, nil
}
