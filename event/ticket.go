package event

import (
	"fmt"
	"time"
)

// First is the version of a record that was just created.
const First int64 = 0

// None stands for the version before the first: there is none.
const None int64 = -1

// Scheme says how a publisher counts its versions. The zero value counts
// 0, 1, 2, … as the ticketing services do.
type Scheme struct {
	// Step is the distance between a version and its predecessor; 0 means 1.
	// Publishers whose versions have no step (timestamps) send
	// previousVersion in each event, which then decides.
	Step int64
}

// predecessor returns the version that must be stored before version can be
// applied.
func (s Scheme) predecessor(o object, first bool, version int64) (int64, error) {
	if _, sent := o["previousVersion"]; sent {
		if o.absent("previousVersion") {
			return None, nil
		}
		p, err := o.version("previousVersion")
		if err != nil {
			return 0, err
		}
		if p >= version {
			return 0, fmt.Errorf("%w: previousVersion %d is not below version %d", ErrInvalid, p, version)
		}
		return p, nil
	}
	if first {
		if version != First {
			return 0, fmt.Errorf("%w: a created record has version %d, not %d", ErrInvalid, First, version)
		}
		return None, nil
	}
	step := max(s.Step, 1)
	if version-step < First {
		return 0, fmt.Errorf("%w: version %d has no predecessor at a step of %d", ErrInvalid, version, step)
	}
	return version - step, nil
}

// Ticket is the payload of ticket:created and ticket:updated.
type Ticket struct {
	ID      string  `json:"id"`
	Title   string  `json:"title"`
	Price   float64 `json:"price"` // a JavaScript number: what is stored is what is printed
	UserID  string  `json:"userId"`
	Version int64   `json:"version"`
	OrderID string  `json:"orderId,omitempty"` // the order that holds the ticket; no key at all while it is free
}

// Created returns the ticket:created event of t, which happened at.
func (t Ticket) Created(at time.Time) (Event, error) {
	return build(TicketCreated, t.ID, t.Version, at, t)
}

// Updated returns the ticket:updated event of t, which its owner edited at.
func (t Ticket) Updated(at time.Time) (Event, error) {
	return build(TicketUpdated, t.ID, t.Version, at, t)
}

// lockedTicket has the keys of a Ticket in the order in which the originals
// print them when a lock was taken or released.
type lockedTicket struct {
	ID      string  `json:"id"`
	Version int64   `json:"version"`
	Title   string  `json:"title"`
	Price   float64 `json:"price"`
	UserID  string  `json:"userId"`
	OrderID string  `json:"orderId,omitempty"`
}

// Locked returns the ticket:updated event of t, whose lock was taken or
// released at.
func (t Ticket) Locked(at time.Time) (Event, error) {
	p := lockedTicket{ID: t.ID, Version: t.Version, Title: t.Title, Price: t.Price, UserID: t.UserID, OrderID: t.OrderID}
	return build(TicketUpdated, t.ID, t.Version, at, p)
}

// Deleted returns the ticket:deleted event of t, which was deleted at. It says
// all of t: a service that knows no deletion and finds the replica's row later
// must find it whole.
func (t Ticket) Deleted(at time.Time) (Event, error) {
	return build(TicketDeleted, t.ID, t.Version, at, t)
}

// TicketChange is a ticket event as a replica reads it.
type TicketChange struct {
	Ticket            // but for UserID, which replicas do not keep
	Predecessor int64 // version that must be stored before; None for the first
	Deleted     bool  // the ticket is gone; the rest is what it was, as far as the event says
}

// DecodeTicket reads a payload of ticket:created, ticket:updated or
// ticket:deleted. What a replica keeps must be what the owner's API takes;
// unknown fields, and the user's id, which replicas do not keep, are ignored.
// Every error wraps ErrInvalid.
func (s Scheme) DecodeTicket(subject Subject, data []byte) (TicketChange, error) {
	o, err := decodeObject(data)
	if err != nil {
		return TicketChange{}, err
	}
	c := TicketChange{Deleted: subject == TicketDeleted}
	if c.ID, err = o.id("id"); err != nil {
		return TicketChange{}, err
	}
	if c.Version, err = o.version("version"); err != nil {
		return TicketChange{}, err
	}
	if c.Predecessor, err = s.predecessor(o, subject == TicketCreated, c.Version); err != nil {
		return TicketChange{}, err
	}
	if c.Deleted { // what it was decides nothing any more
		c.Title, _ = o.text("title")
		c.Price, _ = o.number("price")
		return c, nil
	}
	if c.Title, err = o.title("title"); err != nil {
		return TicketChange{}, err
	}
	if c.Price, err = o.price("price"); err != nil {
		return TicketChange{}, err
	}
	c.UserID, _ = o.name("userId") // replicas do not keep it, so it is never wrong
	if !o.absent("orderId") {
		if c.OrderID, err = o.id("orderId"); err != nil {
			return TicketChange{}, err
		}
	}
	return c, nil
}
