package mongodb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/ticket"
)

// lockDoc is what is known of an order, by the order's id.
type lockDoc struct {
	ID       ownID     `bson:"_id"`
	TicketID recordID  `bson:"ticketId"`
	Version  version   `bson:"version"`
	State    word      `bson:"state"`
	Since    time.Time `bson:"since"`
}

func newLockDoc(l ticket.Lock) lockDoc {
	return lockDoc{ID: ownID(l.OrderID), TicketID: recordID(l.TicketID), Version: version(l.Version), State: word(l.State), Since: instant(l.Since)}
}

func (d lockDoc) lock() ticket.Lock {
	return ticket.Lock{OrderID: string(d.ID), TicketID: string(d.TicketID), Version: int64(d.Version), State: ticket.LockState(d.State), Since: d.Since.UTC()}
}

// check implements checked: no query finds what has another state.
func (d lockDoc) check() error {
	if !slices.Contains(ticket.LockStates(), ticket.LockState(d.State)) {
		return fmt.Errorf("%q is no state", d.State)
	}
	return nil
}

func (s *Tickets) locks() collection { return s.db.collection(locksName) }

// Lock implements ticket.Reader.
func (s *Tickets) Lock(ctx context.Context, orderID string) (ticket.Lock, error) {
	d, err := one[lockDoc](ctx, s.locks(), is("_id", recordID(orderID)), ticket.ErrNotFound)
	if err != nil {
		return ticket.Lock{}, as(ticket.ErrUnreadable, err)
	}
	return d.lock(), nil
}

// NextWaiting implements ticket.Reader.
func (s *Tickets) NextWaiting(ctx context.Context, ticketID string) (ticket.Lock, error) {
	filter := bson.D{{Key: "ticketId", Value: recordID(ticketID)}, {Key: "state", Value: ticket.Waiting}}
	waiting, err := first(ctx, s.locks(), query{filter: filter, sort: asc("since", "_id")}, lockDoc.lock, 1)
	if err == nil && len(waiting) == 0 {
		err = ticket.ErrNotFound
	}
	if err != nil {
		return ticket.Lock{}, err
	}
	return waiting[0], nil
}

// Locks implements ticket.Reader.
func (s *Tickets) Locks(ctx context.Context, after string, limit int) ([]ticket.Lock, error) {
	return page(ctx, s.locks(), after, limit, lockDoc.lock, func(l ticket.Lock) string { return l.OrderID })
}

// Waiting implements ticket.Reader.
func (s *Tickets) Waiting(ctx context.Context) (int, error) {
	n, err := s.locks().CountDocuments(ctx, is("state", ticket.Waiting), options.Count().SetHint("byTicket"))
	return int(n), err
}

// lock adds the write of a lock.
func (c *change) lock(l ticket.LockChange) {
	d := newLockDoc(l.Now)
	if l.Was.State == "" {
		c.insert(locksName, recordID(d.ID), d)
		return
	}
	asRead := bson.D{{Key: "state", Value: l.Was.State}, {Key: "version", Value: counted(l.Was.Version)}}
	c.update(locksName, recordID(d.ID), asRead, is("$set", bson.D{
		{Key: "ticketId", Value: d.TicketID}, {Key: "version", Value: d.Version},
		{Key: "state", Value: d.State}, {Key: "since", Value: d.Since},
	}))
}
