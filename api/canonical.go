package api

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"lockstep/order"
	"lockstep/replica"
	"lockstep/ticket"
)

// maxRangeSize and maxRanges bound what one digest request costs: a quarter of
// a million rows read.
const (
	maxRangeSize = 1024
	maxRanges    = 256
)

// CanonicalTickets is what the tickets service answers replicas from.
type CanonicalTickets interface {
	// Ticket returns a ticket, a deleted one too, or ticket.ErrNotFound.
	Ticket(ctx context.Context, id string) (ticket.Ticket, error)

	// Page returns up to limit tickets with an id above after, by id: fewer
	// if they are large, none behind the last one.
	Page(ctx context.Context, after string, limit int) ([]ticket.Ticket, error)
}

// CanonicalOrders is what the orders service answers the keepers of locks
// from.
type CanonicalOrders interface {
	// Order returns an order, order.ErrNotFound or order.ErrUnreadable.
	Order(ctx context.Context, id string) (order.Order, error)

	// Page returns up to limit orders with an id above after, by id: fewer if
	// they are large, none behind the last one.
	Page(ctx context.Context, after string, limit int) ([]order.Order, error)
}

// canonicalTicket answers GET /ops/tickets/{id}.
func canonicalTicket(tickets CanonicalTickets) endpoint {
	return func(w http.ResponseWriter, r request) error {
		t, err := tickets.Ticket(r.Context(), r.id())
		if errors.Is(err, ticket.ErrNotFound) {
			return errNoTicket
		}
		if err != nil {
			return err
		}
		return respond(w, http.StatusOK, wireOf(rowOf(t)))
	}
}

// canonicalPage answers GET /ops/tickets?after=&limit=&bytes=.
func canonicalPage(tickets CanonicalTickets, log *slog.Logger) endpoint {
	return func(w http.ResponseWriter, r request) error {
		return respondPage(w, r, log, "tickets", tickets.Page, func(t ticket.Ticket) (string, wireRow) { return t.ID, wireOf(rowOf(t)) })
	}
}

// respondPage writes the part of a list that is asked for, under a name, as its
// store gives it. It ends early behind ?bytes= of it, for those who know that
// only an empty page is the last one.
func respondPage[T, A any](w http.ResponseWriter, r request, log *slog.Logger, name string,
	list func(ctx context.Context, after string, limit int) ([]T, error), answer func(T) (id string, a A),
) error {
	p, err := readPage(r)
	if err != nil {
		return err
	}
	bytes := amount(r, "bytes", math.MaxInt)
	s := newStream(w, usualPace, `{"`+name+`":[`)
	for p.limit > 0 && s.filled < bytes {
		rows, err := list(r.Context(), p.after, p.limit)
		if err != nil {
			return s.abort(r.Context(), log, err)
		}
		for _, row := range rows {
			id, a := answer(row)
			if err := s.add(a); err != nil {
				return s.abort(r.Context(), log, err)
			}
			p.after = id
		}
		if p.limit -= len(rows); len(rows) == 0 {
			break
		}
	}
	s.end("]}")
	return nil
}

// canonicalRanges answers GET /ops/tickets/ranges?after=&size=&count=.
func canonicalRanges(tickets CanonicalTickets) endpoint {
	return func(w http.ResponseWriter, r request) error {
		size, count := amount(r, "size", maxRangeSize), amount(r, "count", maxRanges)
		ranges, err := pager(tickets).Ranges(r.Context(), r.FormValue("after"), size, count)
		if err != nil {
			return err
		}
		return respond(w, http.StatusOK, wireRanges{ranges})
	}
}

// pager shows canonical tickets as rows of a replica.
func pager(tickets CanonicalTickets) replica.Pager {
	return func(ctx context.Context, after string, limit int) ([]replica.Row, error) {
		page, err := tickets.Page(ctx, after, limit)
		if err != nil {
			return nil, err
		}
		rows := make([]replica.Row, len(page))
		for i, t := range page {
			rows[i] = rowOf(t)
		}
		return rows, nil
	}
}

// canonicalOrders answers GET /ops/orders?after=&limit=&bytes=.
func canonicalOrders(orders CanonicalOrders, log *slog.Logger) endpoint {
	return func(w http.ResponseWriter, r request) error {
		return respondPage(w, r, log, "orders", orders.Page, func(o order.Order) (string, wireOrder) {
			return o.ID, wireOrderOf(o)
		})
	}
}

// amount returns a query parameter between 1 and limit; limit if it is
// something else.
func amount(r request, name string, limit int) int {
	n, err := strconv.Atoi(r.FormValue(name))
	if err != nil || n < 1 {
		return limit
	}
	return min(n, limit)
}
