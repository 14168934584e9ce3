package sqlite

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"lockstep/event"
	"lockstep/internal/group"
	"lockstep/ticket"
)

// Tickets is the store of the canonical tickets and what is known of orders.
type Tickets struct{ db *DB }

var _ ticket.Store = (*Tickets)(nil)

// Tickets returns the port of package ticket.
func (db *DB) Tickets() *Tickets { return &Tickets{db} }

const selectTicket = "SELECT seq, id, title, price, userId, version, orderId, deleted, revision FROM tickets "

// ticketRow is a ticket with its place in the order of creation.
type ticketRow struct {
	seq int64
	ticket.Ticket
}

func scanTicket(row scanner) (t ticketRow, err error) {
	err = row.Scan(&t.seq, (*ownID)(&t.ID), (*text)(&t.Title), (*amount)(&t.Price), (*text)(&t.UserID), (*version)(&t.Version),
		(*text)(&t.OrderID), (*flag)(&t.Deleted), (*version)(&t.Revision))
	return t, named("tickets", t.ID, err)
}

// Ticket implements ticket.Reader.
func (s *Tickets) Ticket(ctx context.Context, id string) (ticket.Ticket, error) {
	t, err := one(ctx, s.db.read, ticket.ErrNotFound, scanTicket, selectTicket+"WHERE id = ?", id)
	return t.Ticket, as(ticket.ErrUnreadable, err)
}

// Free implements ticket.Reader.
func (s *Tickets) Free(ctx context.Context) iter.Seq2[ticket.Ticket, error] {
	rows := sequence(func(last *ticketRow) ([]ticketRow, bool, error) {
		var after int64
		if last != nil {
			after = last.seq
		}
		return page(ctx, s.db.read, scanTicket, pageRows,
			selectTicket+"WHERE seq > ? AND orderId = '' AND deleted = 0 ORDER BY seq", after)
	})
	return func(yield func(ticket.Ticket, error) bool) {
		for row, err := range rows {
			if !yield(row.Ticket, err) {
				return
			}
		}
	}
}

// Page implements ticket.Reader.
func (s *Tickets) Page(ctx context.Context, after string, limit int) ([]ticket.Ticket, error) {
	rows, _, err := page(ctx, s.db.read, scanTicket, limit, selectTicket+"WHERE id > ? ORDER BY id", after)
	if err != nil {
		return nil, err
	}
	tickets := make([]ticket.Ticket, len(rows))
	for i, row := range rows {
		tickets[i] = row.Ticket
	}
	return tickets, nil
}

const selectLock = "SELECT orderId, ticketId, version, state, since FROM locks "

func scanLock(row scanner) (l ticket.Lock, err error) {
	var since int64
	err = row.Scan((*ownID)(&l.OrderID), (*recordID)(&l.TicketID), (*version)(&l.Version), (*recordID)(&l.State), (*count)(&since))
	l.Since = timeOf(since)
	if err == nil && !slices.Contains(ticket.LockStates(), l.State) {
		err = mismatch(string(l.State), "state")
	}
	return l, named("locks", l.OrderID, err)
}

// Lock implements ticket.Reader.
func (s *Tickets) Lock(ctx context.Context, orderID string) (ticket.Lock, error) {
	l, err := one(ctx, s.db.read, ticket.ErrNotFound, scanLock, selectLock+"WHERE orderId = ?", orderID)
	return l, as(ticket.ErrUnreadable, err)
}

// NextWaiting implements ticket.Reader.
func (s *Tickets) NextWaiting(ctx context.Context, ticketID string) (ticket.Lock, error) {
	waiting, err := first(ctx, s.db.read, scanLock, 1, selectLock+"WHERE ticketId = ? AND state = 'waiting' ORDER BY since, orderId", ticketID)
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
	return first(ctx, s.db.read, scanLock, limit, selectLock+"WHERE orderId > ? ORDER BY orderId", after)
}

// Waiting implements ticket.Reader.
func (s *Tickets) Waiting(ctx context.Context) (int, error) {
	return one(ctx, s.db.read, nil, func(row scanner) (n int, err error) {
		return n, row.Scan(&n)
	}, "SELECT count(*) FROM locks WHERE state = 'waiting'")
}

// Commit implements ticket.Store.
func (s *Tickets) Commit(ctx context.Context, c ticket.Change) error {
	err := s.db.do(ctx, func(ctx context.Context, w *writer) error {
		if err := writeTicket(ctx, w, c.Was, c.Now); err != nil {
			return err
		}
		for _, l := range c.Locks {
			if err := writeLock(ctx, w, l); err != nil {
				return err
			}
		}
		if c.Now == nil {
			return w.insert(ctx, c.Events, s.db.now(), "", event.None)
		}
		return w.insert(ctx, c.Events, s.db.now(), c.Now.ID, c.Now.Version)
	})
	switch {
	case errors.Is(err, group.ErrUnknown):
		return fmt.Errorf("%w: %w", ticket.ErrUnknown, err)
	case errors.Is(err, errCondition):
		return fmt.Errorf("%w: %w", ticket.ErrConflict, err)
	}
	return err
}

const (
	insertTicket = "INSERT INTO tickets (id, title, price, userId, version, orderId, deleted, revision)" +
		" VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO NOTHING"
	updateTicket = "UPDATE tickets SET title = ?, price = ?, userId = ?, version = ?, orderId = ?, deleted = ?," +
		" revision = revision + 1 WHERE id = ? AND " + versioned + " AND CAST(revision AS INTEGER) = ?"
	guardTicket = "UPDATE tickets SET revision = revision + 1 WHERE id = ? AND " + versioned + " AND CAST(revision AS INTEGER) = ?"
)

func writeTicket(ctx context.Context, w *writer, was, now *ticket.Ticket) error {
	switch {
	case was == nil && now == nil:
		return nil
	case was == nil:
		return w.expect(ctx, "ticket "+now.ID+" exists", insertTicket,
			now.ID, now.Title, now.Price, now.UserID, now.Version, now.OrderID, now.Deleted)
	case now == nil:
		return w.expect(ctx, "ticket "+was.ID+" has changed", guardTicket, was.ID, was.Version, was.Revision)
	default:
		return w.expect(ctx, "ticket "+was.ID+" has changed", updateTicket,
			now.Title, now.Price, now.UserID, now.Version, now.OrderID, now.Deleted, was.ID, was.Version, was.Revision)
	}
}

const (
	insertLock = "INSERT INTO locks (orderId, ticketId, version, state, since) VALUES (?, ?, ?, ?, ?) ON CONFLICT (orderId) DO NOTHING"
	updateLock = "UPDATE locks SET ticketId = ?, version = ?, state = ?, since = ? WHERE orderId = ? AND CAST(state AS TEXT) = ? AND " + versioned
)

func writeLock(ctx context.Context, w *writer, c ticket.LockChange) error {
	l := c.Now
	if c.Was.State == "" {
		return w.expect(ctx, "lock of order "+l.OrderID+" exists", insertLock,
			l.OrderID, l.TicketID, l.Version, string(l.State), millis(l.Since))
	}
	return w.expect(ctx, "lock of order "+l.OrderID+" has changed", updateLock,
		l.TicketID, l.Version, string(l.State), millis(l.Since), l.OrderID, string(c.Was.State), c.Was.Version)
}
