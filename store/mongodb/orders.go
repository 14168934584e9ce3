package mongodb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/internal/group"
	"lockstep/order"
)

// Orders is the store of the orders.
type Orders struct{ db *DB }

var _ order.Store = (*Orders)(nil)

// Orders returns the port of package order.
func (db *DB) Orders() *Orders { return &Orders{db} }

func (s *Orders) orders() collection { return s.db.collection(ordersName) }

// orderDoc is an order as it lies in the database. Node services wrote it
// without price and createdAt; its price is 0 then.
type orderDoc struct {
	ID        ownID    `bson:"_id"`
	UserID    text     `bson:"userId"`
	Status    word     `bson:"status"`
	ExpiresAt moment   `bson:"expiresAt"`
	Ticket    recordID `bson:"ticket"`
	Price     amount   `bson:"price"`
	Version   version  `bson:"version"`
	LockFrom  count    `bson:"lockFrom,omitempty"`
	PaidBy    text     `bson:"paidBy,omitempty"`
	CreatedAt stamp    `bson:"createdAt,omitempty"`
}

func newOrderDoc(o order.Order) orderDoc {
	return orderDoc{
		ID: ownID(o.ID), UserID: text(o.UserID), Status: word(o.Status), ExpiresAt: moment{instant(o.ExpiresAt)},
		Ticket: recordID(o.TicketID), Price: amount(o.Price), Version: version(o.Version), LockFrom: count(o.LockFrom), PaidBy: text(o.PaidBy),
	}
}

func (d orderDoc) order() order.Order {
	return order.Order{
		ID: string(d.ID), UserID: string(d.UserID), Status: order.Status(d.Status), ExpiresAt: d.ExpiresAt.Time,
		TicketID: string(d.Ticket), Price: float64(d.Price), Version: int64(d.Version), LockFrom: int64(d.LockFrom), PaidBy: string(d.PaidBy),
	}
}

// check implements checked: no query finds what has another status.
func (d orderDoc) check() error {
	if !order.Status(d.Status).Known() {
		return fmt.Errorf("%q is no status", d.Status)
	}
	return nil
}

// Order implements order.Store.
func (s *Orders) Order(ctx context.Context, id string) (order.Order, error) {
	d, err := one[orderDoc](ctx, s.orders(), is("_id", recordID(id)), order.ErrNotFound)
	if err != nil {
		return order.Order{}, as(order.ErrUnreadable, err)
	}
	return d.order(), nil
}

// Active implements order.Store.
func (s *Orders) Active(ctx context.Context, ticketID string) (string, error) {
	held, err := s.db.holders(ctx, []recordID{recordID(ticketID)})
	if err == nil && held[recordID(ticketID)] == "" {
		err = order.ErrNotFound
	}
	return string(held[recordID(ticketID)]), err
}

// Orders implements order.Store.
func (s *Orders) Orders(ctx context.Context, userID string) iter.Seq2[order.Order, error] {
	return sequence(ctx, s.orders(), query{filter: is("userId", spelled(userID)), sort: asc("createdAt"), hint: byUser}, orderDoc.order)
}

// dueDoc is all that expiry reads of an order, so that nothing else of it can
// stand in the way. An id that is neither ObjectId nor string is shown as it is
// written; looking the order up will say the rest.
type dueDoc struct {
	ID        bson.RawValue `bson:"_id"`
	ExpiresAt bson.RawValue `bson:"expiresAt"`
}

func (d dueDoc) due() order.Due {
	var id recordID
	if err := id.UnmarshalBSONValue(byte(d.ID.Type), d.ID.Value); err != nil {
		id = recordID(d.ID.String())
	}
	var at moment
	if err := at.UnmarshalBSONValue(byte(d.ExpiresAt.Type), d.ExpiresAt.Value); err != nil {
		at = moment{} // it does not say
	}
	return order.Due{OrderID: string(id), ExpiresAt: at.Time}
}

// Expired implements order.Store.
func (s *Orders) Expired(ctx context.Context, now time.Time) iter.Seq2[order.Due, error] {
	// $lte would find no time of another type.
	filter := bson.D{{Key: "status", Value: order.Created}, {Key: "expiresAt", Value: is("$not", is("$gt", now))}}
	found := sequence(ctx, s.orders(), query{filter: filter, sort: asc("expiresAt")}, dueDoc.due)
	return func(yield func(order.Due, error) bool) {
		for d, err := range found {
			if err == nil && d.ExpiresAt.After(now) {
				continue
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// Page implements order.Store.
func (s *Orders) Page(ctx context.Context, after string, limit int) ([]order.Order, error) {
	return page(ctx, s.orders(), after, limit, orderDoc.order, func(o order.Order) string { return o.ID })
}

// Commit implements order.Store.
func (s *Orders) Commit(ctx context.Context, c order.Change) error {
	w := &change{}
	if c.Now.ID != "" {
		w.order(c.Was, c.Now, s.db.opts.Now())
	}
	if c.Payment != nil {
		w.insert(paymentsName, recordID(c.Payment.ID()), newPaymentDoc(*c.Payment))
	}
	err := w.announce(c.Events, s.db.opts.Now())
	if err == nil {
		err = s.db.do(ctx, w)
	}
	switch {
	case errors.Is(err, errTaken):
		return fmt.Errorf("%w: order %s, ticket %s", order.ErrReserved, c.Now.ID, c.Now.TicketID)
	case errors.Is(err, errCondition):
		return fmt.Errorf("%w: %w", order.ErrConflict, err)
	case errors.Is(err, errUnguarded):
		return fmt.Errorf("%w: order %s, ticket %s: %w", order.ErrSuspended, c.Now.ID, c.Now.TicketID, err)
	case errors.Is(err, group.ErrUnknown):
		return fmt.Errorf("%w: %w", order.ErrUnknown, err)
	}
	return err
}

// order adds the write of an order, or its creation.
func (c *change) order(was *order.Order, now order.Order, at time.Time) {
	d := newOrderDoc(now)
	var w *write
	if was == nil {
		d.CreatedAt = stamp{instant(at)}
		w = c.insert(ordersName, recordID(d.ID), d)
	} else {
		w = c.update(ordersName, recordID(was.ID), is("version", counted(was.Version)), is("$set", differing(newOrderDoc(*was), d)))
	}
	if isActive(now) && (was == nil || !isActive(*was) || was.TicketID != now.TicketID) {
		w.seat = d.Ticket
	}
}

func isActive(o order.Order) bool { return slices.Contains(order.Active(), o.Status) }

// differing returns the fields of now that were others. The rest is left as it
// lies there: a service of Node's may have written it in another form, or not
// at all.
func differing(was, now orderDoc) bson.D {
	var set bson.D
	for _, f := range []struct {
		name     string
		was, now any
	}{
		{"userId", was.UserID, now.UserID}, {"status", was.Status, now.Status}, {"expiresAt", was.ExpiresAt, now.ExpiresAt},
		{"ticket", was.Ticket, now.Ticket}, {"price", was.Price, now.Price}, {"version", was.Version, now.Version},
		{"lockFrom", was.LockFrom, now.LockFrom}, {"paidBy", was.PaidBy, now.PaidBy},
	} {
		if f.was != f.now {
			set = append(set, bson.E{Key: f.name, Value: f.now})
		}
	}
	return set
}
