package api

import (
	"context"
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

	// Page returns up to limit tickets with an id above after, by id.
	Page(ctx context.Context, after string, limit int) ([]ticket.Ticket, error)
}

// CanonicalOrders is what the orders service answers the keepers of locks
// from.
type CanonicalOrders interface {
	// Order returns an order, order.ErrNotFound or order.ErrUnreadable.
	Order(ctx context.Context, id string) (order.Order, error)

	// Page returns up to limit orders with an id above after, by id.
	Page(ctx context.Context, after string, limit int) ([]order.Order, error)
}

// canonicalTicket answers GET /ops/tickets/{id}.
func canonicalTicket(tickets CanonicalTickets) endpoint {
	return func(w http.ResponseWriter, r request) error {
		t, err := tickets.Ticket(r.Context(), r.id())
		if err != nil {
			return err
		}
		return respond(w, http.StatusOK, wireOf(rowOf(t)))
	}
}

// canonicalPage answers GET /ops/tickets?after=&limit=.
func canonicalPage(tickets CanonicalTickets) endpoint {
	return func(w http.ResponseWriter, r request) error {
		p, err := readPage(r)
		if err != nil {
			return err
		}
		rows, err := pager(tickets)(r.Context(), p.after, p.limit)
		if err != nil {
			return err
		}
		list := make([]wireRow, len(rows))
		for i, row := range rows {
			list[i] = wireOf(row)
		}
		return respond(w, http.StatusOK, wireRows{list})
	}
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

// canonicalOrders answers GET /ops/orders?after=&limit=.
func canonicalOrders(orders CanonicalOrders) endpoint {
	return func(w http.ResponseWriter, r request) error {
		p, err := readPage(r)
		if err != nil {
			return err
		}
		page, err := orders.Page(r.Context(), p.after, p.limit)
		if err != nil {
			return err
		}
		list := make([]wireOrder, len(page))
		for i, o := range page {
			list[i] = wireOrder{ID: o.ID, TicketID: o.TicketID, Version: o.Version, Cancelled: o.Status == order.Cancelled}
		}
		return respond(w, http.StatusOK, wireOrders{list})
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
