package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"

	"lockstep/event"
	"lockstep/order"
	"lockstep/replica"
)

// Replica is the store of the copies.
type Replica struct{ db *DB }

var _ replica.Store = (*Replica)(nil)

// Replica returns the port of package replica.
func (db *DB) Replica() *Replica { return &Replica{db} }

const selectReplica = "SELECT id, version, title, price, orderId, deleted FROM replica "

func scanReplica(row scanner) (r replica.Row, err error) {
	err = row.Scan((*ownID)(&r.ID), (*version)(&r.Version), (*text)(&r.Title), (*amount)(&r.Price), (*text)(&r.OrderID), (*flag)(&r.Deleted))
	return r, named("replica", r.ID, err)
}

// Row implements replica.Store.
func (s *Replica) Row(ctx context.Context, id string) (replica.Row, error) {
	r, err := one(ctx, s.db.read, replica.ErrNotFound, scanReplica, selectReplica+"WHERE id = ?", id)
	return r, as(replica.ErrUnreadable, err)
}

// Versions implements replica.Store.
func (s *Replica) Versions(ctx context.Context, ids []string) (map[string]int64, error) {
	set, err := list(ids)
	if err != nil {
		return nil, err
	}
	rows, err := all(ctx, s.db.read, func(row scanner) (r replica.Row, err error) {
		err = row.Scan((*ownID)(&r.ID), (*version)(&r.Version))
		return r, named("replica", r.ID, err)
	}, "SELECT id, version FROM replica WHERE id IN (SELECT value FROM json_each(?))", set)
	if err != nil {
		return nil, err
	}
	versions := make(map[string]int64, len(rows))
	for _, r := range rows {
		versions[r.ID] = r.Version
	}
	return versions, nil
}

// Page implements replica.Store.
func (s *Replica) Page(ctx context.Context, after string, limit int) ([]replica.Row, error) {
	return first(ctx, s.db.read, scanReplica, limit, selectReplica+"WHERE id > ? ORDER BY id", after)
}

// Count implements replica.Store.
func (s *Replica) Count(ctx context.Context) (int, error) {
	n, err := one(ctx, s.db.read, nil, number, "SELECT count(*) FROM replica WHERE deleted = 0")
	return int(n), err
}

const (
	insertReplica    = "INSERT INTO replica (version, title, price, orderId, deleted, id) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
	updateReplica    = overwriteReplica + " AND " + versioned
	overwriteReplica = "UPDATE replica SET version = ?, title = ?, price = ?, orderId = ?, deleted = ? WHERE id = ?"
	deleteReplica    = "DELETE FROM replica WHERE id = ? AND " + versioned
)

// Write implements replica.Store. All writes are one transaction.
func (s *Replica) Write(ctx context.Context, writes []replica.Write) (int, error) {
	return ask(ctx, s.db, func(ctx context.Context, w *writer) (written int, err error) {
		for _, c := range writes {
			if c.Unreadable {
				if is, err := w.isUnreadable(ctx, c.Row.ID); err != nil {
					return written, err
				} else if !is {
					continue
				}
			}
			query, args := statement(c)
			n, err := w.exec(ctx, query, args...)
			if err != nil {
				return written, err
			}
			written += int(n)
		}
		return written, nil
	})
}

// statement returns what performs c. Nobody else writes in between, so what was
// found unreadable still is.
func statement(c replica.Write) (query string, args []any) {
	r := c.Row
	args = []any{r.Version, r.Title, r.Price, r.OrderID, r.Deleted, r.ID}
	switch {
	case c.Unreadable && c.Remove:
		return "DELETE FROM replica WHERE id = ?", []any{r.ID}
	case c.Unreadable:
		return overwriteReplica, args
	case c.Remove:
		return deleteReplica, []any{r.ID, c.From}
	case c.From != event.None:
		return updateReplica, append(args, c.From)
	}
	return insertReplica, args
}

// isUnreadable reports whether there is a row that cannot be read.
func (w *writer) isUnreadable(ctx context.Context, id string) (bool, error) {
	row, err := w.row(ctx, selectReplica+"WHERE id = ?", id)
	if err == nil {
		_, err = scanReplica(row)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if u := (*unreadable)(nil); errors.As(err, &u) {
		return true, nil
	}
	return false, err
}

// OrderTickets shows orders the replica.
type OrderTickets struct{ db *DB }

var _ order.Tickets = (*OrderTickets)(nil)

// OrderTickets returns the port through which package order reads the replica.
func (db *DB) OrderTickets() *OrderTickets { return &OrderTickets{db} }

// TicketIDs implements order.Tickets.
func (s *OrderTickets) TicketIDs(ctx context.Context, after string, limit int) ([]string, error) {
	return first(ctx, s.db.read, func(row scanner) (id string, err error) {
		err = row.Scan((*ownID)(&id))
		return id, named("replica", id, err)
	}, limit, "SELECT id FROM replica WHERE id > ? ORDER BY id", after)
}

// selectLocks selects, for each ticket that is not locked for the order that
// has it, that order, and the cancelled one that it is locked for. With either
// comes the id of the one that has it, should that not be readable.
const (
	selectLocks = "SELECT r.id, r.version, o.id" + orderOfLock + " ON " + hasTicket + " AND o.id <> r.orderId" +
		" UNION ALL SELECT r.id, r.version, coalesce((SELECT o.id FROM orders AS o WHERE " + hasTicket + "), '')" +
		orderOfLock + " ON o.id = r.orderId AND o.status = 'cancelled' ORDER BY 1"

	hasTicket   = "o.ticketId = r.id AND o.status IN ('created', 'awaiting:payment', 'complete')"
	orderOfLock = ", o.seq, o.id, o.userId, o.status, o.expiresAt, o.ticketId, o.price, o.version, o.lockFrom, o.paidBy" +
		" FROM json_each(?1) AS wanted JOIN replica AS r ON r.id = wanted.value AND r.deleted = 0 JOIN orders AS o"
)

// Locks implements order.Tickets.
func (s *OrderTickets) Locks(ctx context.Context, ticketIDs []string) ([]order.Lock, error) {
	set, err := list(ticketIDs)
	if err != nil {
		return nil, err
	}
	found, err := all(ctx, s.db.read, scanWrongLock, selectLocks, set)
	if err != nil {
		return nil, err
	}
	var locks []order.Lock
	for _, l := range found {
		if last := len(locks) - 1; last >= 0 && locks[last].TicketID == l.TicketID {
			l = either(locks[last], l)
			locks = locks[:last]
		}
		locks = append(locks, l)
	}
	return slices.DeleteFunc(locks, order.Lock.Right), nil
}

// either returns the lock of which a and b have one order each.
func either(a, b order.Lock) order.Lock {
	if a.Left.ID == "" {
		a.Left = b.Left
	} else {
		a.Active = b.Active
	}
	return a
}

// scanWrongLock reads one of the two orders of a lock.
func scanWrongLock(row scanner) (l order.Lock, err error) {
	o, err := scanOrder(behind{row, []any{(*recordID)(&l.TicketID), (*version)(&l.Version), (*text)(&l.Active.ID)}})
	if o.Status == order.Cancelled {
		l.Left = o.Order
	} else {
		l.Active = o.Order
	}
	return l, err
}

// behind is a row with more columns before those that are asked for.
type behind struct {
	scanner
	before []any
}

func (b behind) Scan(dest ...any) error { return b.scanner.Scan(append(b.before, dest...)...) }

const selectOrderTicket = "SELECT id, title, price, version, orderId FROM replica "

func scanOrderTicket(row scanner) (t order.Ticket, err error) {
	err = row.Scan((*ownID)(&t.ID), (*text)(&t.Title), (*amount)(&t.Price), (*version)(&t.Version), (*text)(&t.OrderID))
	return t, named("replica", t.ID, err)
}

// Ticket implements order.Tickets.
func (s *OrderTickets) Ticket(ctx context.Context, id string) (order.Ticket, error) {
	t, err := one(ctx, s.db.read, order.ErrNotFound, scanOrderTicket, selectOrderTicket+"WHERE id = ? AND deleted = 0", id)
	return t, as(order.ErrUnreadable, err)
}

// Tickets implements order.Tickets.
func (s *OrderTickets) Tickets(ctx context.Context, ids []string) iter.Seq2[order.Ticket, error] {
	return sequence(func(last *order.Ticket) ([]order.Ticket, bool, error) {
		set, err := list(ids)
		if err != nil {
			return nil, false, err
		}
		after := ""
		if last != nil {
			after = last.ID
		}
		return page(ctx, s.db.read, scanOrderTicket, pageRows,
			selectOrderTicket+"WHERE id IN (SELECT value FROM json_each(?)) AND id > ? ORDER BY id", set, after)
	})
}
