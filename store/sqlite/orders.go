package sqlite

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"lockstep/internal/group"
	"lockstep/order"
)

// errUnguarded: nothing keeps a ticket from being sold twice.
var errUnguarded = errors.New("the unique index ordersActive of table orders cannot be made," +
	" because tickets have several active orders: SELECT ticketId FROM orders" +
	" WHERE status IN ('created', 'awaiting:payment', 'complete') GROUP BY ticketId HAVING count(*) > 1 lists them; cancel all but one of each")

// Orders is the store of the orders.
type Orders struct{ db *DB }

var _ order.Store = (*Orders)(nil)

// Orders returns the port of package order.
func (db *DB) Orders() *Orders { return &Orders{db} }

const selectOrder = "SELECT seq, id, userId, status, expiresAt, ticketId, price, version, lockFrom, paidBy FROM orders "

// orderRow is an order with its place in the order of creation.
type orderRow struct {
	seq int64
	order.Order
}

func scanOrder(row scanner) (o orderRow, err error) {
	var expiresAt int64
	err = row.Scan(&o.seq, (*ownID)(&o.ID), (*text)(&o.UserID), (*recordID)(&o.Status), (*count)(&expiresAt), (*recordID)(&o.TicketID),
		(*amount)(&o.Price), (*version)(&o.Version), (*count)(&o.LockFrom), (*text)(&o.PaidBy))
	o.ExpiresAt = timeOf(expiresAt)
	if err == nil && !o.Status.Known() {
		err = mismatch(string(o.Status), "status")
	}
	return o, named("orders", o.ID, err)
}

// Order implements order.Store.
func (s *Orders) Order(ctx context.Context, id string) (order.Order, error) {
	o, err := one(ctx, s.db.read, order.ErrNotFound, scanOrder, selectOrder+"WHERE id = ?", id)
	return o.Order, as(order.ErrUnreadable, err)
}

// Active implements order.Store.
func (s *Orders) Active(ctx context.Context, ticketID string) (string, error) {
	read := func(row scanner) (id string, err error) { return id, row.Scan((*recordID)(&id)) }
	return one(ctx, s.db.read, order.ErrNotFound, read,
		"SELECT id FROM orders WHERE ticketId = ? AND status IN ('created', 'awaiting:payment', 'complete')", ticketID)
}

// Orders implements order.Store.
func (s *Orders) Orders(ctx context.Context, userID string) iter.Seq2[order.Order, error] {
	rows := sequence(func(last *orderRow) ([]orderRow, bool, error) {
		var after int64
		if last != nil {
			after = last.seq
		}
		return page(ctx, s.db.read, scanOrder, pageRows, selectOrder+"WHERE userId = ? AND seq > ? ORDER BY seq", userID, after)
	})
	return func(yield func(order.Order, error) bool) {
		for row, err := range rows {
			if !yield(row.Order, err) {
				return
			}
		}
	}
}

// dueRow is an overdue order with its place among those that end at once. It is
// all that expiry reads of an order, so that nothing else of it can stand in the
// way. An id that is no text is shown as it is written; looking the order up
// will say the rest.
type dueRow struct {
	seq int64
	at  any // expiresAt as it is stored
	order.Due
}

// Numbers come before texts and blobs, of which selectOddDue finds all.
const (
	selectDue    = fromDue + "(expiresAt, seq) > (?1, ?2) AND expiresAt <= ?3 ORDER BY expiresAt, seq"
	selectOddDue = fromDue + "(expiresAt IS NULL OR expiresAt >= '') AND +seq > ?1 ORDER BY +seq"
	fromDue      = "SELECT seq, id, expiresAt FROM orders WHERE status = 'created' AND "
)

func scanDue(row scanner) (d dueRow, err error) {
	var id any
	if err := row.Scan(&d.seq, &id, &d.at); err != nil {
		return d, err
	}
	_ = (*recordID)(&d.OrderID).Scan(id) // sets it in any case
	at := d.at
	if f, ok := at.(float64); ok {
		at = math.Trunc(f)
	}
	var ms count
	if ms.Scan(at) == nil {
		d.ExpiresAt = time.UnixMilli(int64(ms)).UTC()
	}
	return d, nil
}

// Expired implements order.Store.
func (s *Orders) Expired(ctx context.Context, now time.Time) iter.Seq2[order.Due, error] {
	numbers := sequence(func(last *dueRow) ([]dueRow, bool, error) {
		after, seq := any(math.Inf(-1)), int64(0)
		if last != nil {
			after, seq = last.at, last.seq
		}
		return page(ctx, s.db.read, scanDue, pageRows, selectDue, after, seq, millis(now))
	})
	others := sequence(func(last *dueRow) ([]dueRow, bool, error) {
		var seq int64
		if last != nil {
			seq = last.seq
		}
		return page(ctx, s.db.read, scanDue, pageRows, selectOddDue, seq)
	})
	return func(yield func(order.Due, error) bool) {
		for _, rows := range []iter.Seq2[dueRow, error]{numbers, others} {
			for row, err := range rows {
				if err == nil && row.ExpiresAt.After(now) {
					continue
				}
				if !yield(row.Due, err) || err != nil {
					return
				}
			}
		}
	}
}

// Page implements order.Store.
func (s *Orders) Page(ctx context.Context, after string, limit int) ([]order.Order, error) {
	rows, err := first(ctx, s.db.read, scanOrder, limit, selectOrder+"WHERE id > ? ORDER BY id", after)
	if err != nil {
		return nil, err
	}
	found := make([]order.Order, len(rows))
	for i, row := range rows {
		found[i] = row.Order
	}
	return found, nil
}

// Commit implements order.Store.
func (s *Orders) Commit(ctx context.Context, c order.Change) error {
	err := s.db.do(ctx, func(ctx context.Context, w *writer) error {
		err := writeOrder(ctx, w, c)
		if violates(err) {
			return fmt.Errorf("%w: order %s, ticket %s", order.ErrReserved, c.Now.ID, c.Now.TicketID)
		}
		if err == nil {
			err = writePayment(ctx, w, c.Payment)
		}
		if err != nil {
			return err
		}
		return w.insert(ctx, c.Events, s.db.now(), c.Now.ID, c.Now.Version)
	})
	switch {
	case errors.Is(err, group.ErrUnknown):
		return fmt.Errorf("%w: %w", order.ErrUnknown, err)
	case errors.Is(err, errCondition):
		return fmt.Errorf("%w: %w", order.ErrConflict, err)
	}
	return err
}

// insertOrder looks for the id first: an order that is created twice conflicts
// with itself and not with another one of its ticket. The unique index on the
// active orders is all that the statement can violate then.
const (
	insertOrder = "INSERT INTO orders (id, userId, status, expiresAt, ticketId, price, version, lockFrom, paidBy)" +
		" SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = ?1)"
	updateOrder = "UPDATE orders SET userId = ?, status = ?, expiresAt = ?, ticketId = ?, price = ?, version = ?, lockFrom = ?, paidBy = ?" +
		" WHERE id = ? AND " + versioned
)

func writeOrder(ctx context.Context, w *writer, c order.Change) error {
	o := c.Now
	if o.ID == "" {
		return nil
	}
	if slices.Contains(order.Active(), o.Status) {
		if err := w.incomplete(); errors.Is(err, errUnguarded) {
			return fmt.Errorf("%w: order %s: %w", order.ErrSuspended, o.ID, err)
		}
	}
	if c.Was == nil {
		return w.expect(ctx, "order "+o.ID+" exists", insertOrder,
			o.ID, o.UserID, string(o.Status), millis(o.ExpiresAt), o.TicketID, o.Price, o.Version, o.LockFrom, o.PaidBy)
	}
	return w.expect(ctx, "order "+o.ID+" has changed", updateOrder,
		o.UserID, string(o.Status), millis(o.ExpiresAt), o.TicketID, o.Price, o.Version, o.LockFrom, o.PaidBy, c.Was.ID, c.Was.Version)
}
