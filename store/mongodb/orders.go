package mongodb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/order"
)

// Orders is the store of the orders.
type Orders struct{ db *DB }

var _ order.Store = (*Orders)(nil)

// Orders returns the port of package order.
func (db *DB) Orders() *Orders { return &Orders{db} }

func (s *Orders) orders() *mongo.Collection { return s.db.data.Collection(ordersName) }

// orderDoc is an order as it lies in the database. Node services wrote it
// without price and createdAt; its price is 0 then.
type orderDoc struct {
	ID        recordID     `bson:"_id"`
	UserID    string       `bson:"userId"`
	Status    order.Status `bson:"status"`
	ExpiresAt time.Time    `bson:"expiresAt"`
	Ticket    recordID     `bson:"ticket"`
	Price     float64      `bson:"price"`
	Version   int64        `bson:"version"`
	CreatedAt time.Time    `bson:"createdAt,omitempty"`
}

func newOrderDoc(o order.Order) orderDoc {
	return orderDoc{
		ID: recordID(o.ID), UserID: o.UserID, Status: o.Status, ExpiresAt: instant(o.ExpiresAt),
		Ticket: recordID(o.TicketID), Price: o.Price, Version: o.Version,
	}
}

func (d orderDoc) order() order.Order {
	return order.Order{
		ID: string(d.ID), UserID: d.UserID, Status: d.Status, ExpiresAt: d.ExpiresAt.UTC(),
		TicketID: string(d.Ticket), Price: d.Price, Version: d.Version,
	}
}

// Order implements order.Store.
func (s *Orders) Order(ctx context.Context, id string) (order.Order, error) {
	d, err := one[orderDoc](ctx, s.orders(), is("_id", recordID(id)), order.ErrNotFound)
	if err != nil {
		return order.Order{}, err
	}
	return d.order(), nil
}

// Orders implements order.Store.
func (s *Orders) Orders(ctx context.Context, userID string) iter.Seq2[order.Order, error] {
	return sequence(ctx, s.orders(), is("userId", userID), orderDoc.order, options.Find().SetSort(asc("createdAt")).SetHint(byUser))
}

// Expired implements order.Store.
func (s *Orders) Expired(ctx context.Context, now time.Time, limit int) ([]order.Order, error) {
	filter := bson.D{{Key: "status", Value: order.Created}, {Key: "expiresAt", Value: is("$lte", now)}}
	return list(ctx, s.orders(), filter, orderDoc.order, options.Find().SetSort(asc("expiresAt")).SetLimit(int64(limit)))
}

// Page implements order.Store.
func (s *Orders) Page(ctx context.Context, after string, limit int) ([]order.Order, error) {
	return page(ctx, s.orders(), after, limit, orderDoc.order, func(o order.Order) string { return o.ID })
}

// Commit implements order.Store.
func (s *Orders) Commit(ctx context.Context, c order.Change) error {
	w := &change{}
	w.order(c.Was, c.Now, s.db.opts.Now())
	err := w.announce(c.Events, s.db.opts.Now())
	if err == nil {
		err = s.db.do(ctx, w)
	}
	switch {
	case errors.Is(err, errTaken):
		return fmt.Errorf("%w: order %s, ticket %s", order.ErrReserved, c.Now.ID, c.Now.TicketID)
	case errors.Is(err, errCondition):
		return fmt.Errorf("%w: %w", order.ErrConflict, err)
	case errors.Is(err, errUnknown):
		return fmt.Errorf("%w: %w", order.ErrUnknown, err)
	}
	return err
}

// order adds the write of an order, or its creation.
func (c *change) order(was *order.Order, now order.Order, at time.Time) {
	d := newOrderDoc(now)
	var w *write
	if was == nil {
		d.CreatedAt = instant(at)
		w = c.insert(ordersName, d.ID, d)
	} else {
		w = c.update(ordersName, recordID(was.ID), is("version", was.Version), is("$set", bson.D{
			{Key: "userId", Value: d.UserID}, {Key: "status", Value: d.Status}, {Key: "expiresAt", Value: d.ExpiresAt},
			{Key: "ticket", Value: d.Ticket}, {Key: "price", Value: d.Price}, {Key: "version", Value: d.Version},
		}))
	}
	if slices.Contains(order.Active(), now.Status) {
		w.seat = d.Ticket
	}
}
