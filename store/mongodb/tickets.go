package mongodb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/internal/group"
	"lockstep/ticket"
)

// Tickets is the store of the canonical tickets and what is known of orders.
type Tickets struct{ db *DB }

var _ ticket.Store = (*Tickets)(nil)

// Tickets returns the port of package ticket.
func (db *DB) Tickets() *Tickets { return &Tickets{db} }

func (s *Tickets) tickets() collection { return s.db.collection(ticketsName) }

// ticketDoc is a ticket as it lies in the database. Node services wrote it
// without createdAt, deleted and rev.
type ticketDoc struct {
	ID        ownID   `bson:"_id"`
	Title     text    `bson:"title"`
	Price     amount  `bson:"price"`
	UserID    text    `bson:"userId"`
	Version   version `bson:"version"`
	OrderID   text    `bson:"orderId,omitempty"`
	Deleted   flag    `bson:"deleted,omitempty"`
	Rev       version `bson:"rev,omitempty"` // raised by every write and every guard
	CreatedAt stamp   `bson:"createdAt,omitempty"`
}

func (d ticketDoc) ticket() ticket.Ticket {
	return ticket.Ticket{
		ID: string(d.ID), Title: string(d.Title), Price: float64(d.Price), UserID: string(d.UserID), Version: int64(d.Version),
		OrderID: string(d.OrderID), Deleted: bool(d.Deleted), Revision: int64(d.Rev),
	}
}

// Ticket implements ticket.Reader.
func (s *Tickets) Ticket(ctx context.Context, id string) (ticket.Ticket, error) {
	d, err := one[ticketDoc](ctx, s.tickets(), is("_id", recordID(id)), ticket.ErrNotFound)
	return d.ticket(), as(ticket.ErrUnreadable, err)
}

// Free implements ticket.Reader.
func (s *Tickets) Free(ctx context.Context) iter.Seq2[ticket.Ticket, error] {
	filter := bson.D{{Key: "orderId", Value: is("$in", bson.A{nil, ""})}, {Key: "deleted", Value: is("$ne", true)}}
	return sequence(ctx, s.tickets(), query{filter: filter, sort: asc("createdAt"), hint: byHolder}, ticketDoc.ticket)
}

// Page implements ticket.Reader.
func (s *Tickets) Page(ctx context.Context, after string, limit int) ([]ticket.Ticket, error) {
	return page(ctx, s.tickets(), after, limit, ticketDoc.ticket, func(t ticket.Ticket) string { return t.ID })
}

// Commit implements ticket.Store.
func (s *Tickets) Commit(ctx context.Context, c ticket.Change) error {
	w := &change{}
	w.ticket(c.Was, c.Now, s.db.opts.Now())
	for _, l := range c.Locks {
		w.lock(l)
	}
	err := w.announce(c.Events, s.db.opts.Now())
	if err == nil {
		err = s.db.do(ctx, w)
	}
	switch {
	case errors.Is(err, errCondition):
		return fmt.Errorf("%w: %w", ticket.ErrConflict, err)
	case errors.Is(err, group.ErrUnknown):
		return fmt.Errorf("%w: %w", ticket.ErrUnknown, err)
	}
	return err
}

// ticket adds the write of a ticket, its creation, or its guard.
func (c *change) ticket(was, now *ticket.Ticket, at time.Time) {
	switch {
	case was == nil && now == nil:
	case was == nil:
		c.insert(ticketsName, recordID(now.ID), ticketDoc{
			ID: ownID(now.ID), Title: text(now.Title), Price: amount(now.Price), UserID: text(now.UserID), Version: version(now.Version),
			OrderID: text(now.OrderID), Deleted: flag(now.Deleted), CreatedAt: stamp{instant(at)},
		})
	case now == nil:
		c.update(ticketsName, recordID(was.ID), asRead(was), is("$set", is("rev", was.Revision+1)))
	default:
		set := bson.D{
			{Key: "title", Value: now.Title}, {Key: "price", Value: now.Price}, {Key: "userId", Value: now.UserID},
			{Key: "version", Value: now.Version}, {Key: "rev", Value: was.Revision + 1},
		}
		c.update(ticketsName, recordID(was.ID), asRead(was), replacing(set, now.OrderID, now.Deleted))
	}
}

// asRead is the condition that nothing was written since the ticket was read.
// A ticket that only Node services have written has no revision, which is 0.
func asRead(was *ticket.Ticket) bson.D {
	return bson.D{{Key: "version", Value: counted(was.Version)}, {Key: "rev", Value: counted(was.Revision)}}
}

// replacing returns the update that sets the fields, and the two that are left
// out while they say nothing.
func replacing(set bson.D, orderID string, deleted bool) bson.D {
	var unset bson.D
	if orderID != "" {
		set = append(set, bson.E{Key: "orderId", Value: orderID})
	} else {
		unset = append(unset, bson.E{Key: "orderId", Value: ""})
	}
	if deleted {
		set = append(set, bson.E{Key: "deleted", Value: true})
	} else {
		unset = append(unset, bson.E{Key: "deleted", Value: ""})
	}
	update := is("$set", set)
	if unset != nil {
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return update
}
