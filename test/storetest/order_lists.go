package storetest

import (
	"fmt"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
)

func orderOfUser(t *testing.T, b Backend) {
	var want []order.Order
	for i, id := range descending(9) {
		o := newOrder()
		o.ID = id
		if i%3 == 0 {
			o.UserID = "somebody else"
		} else {
			want = append(want, o)
		}
		must(t, "create", b.Orders.Commit(t.Context(), reserve(o)))
	}
	same(t, "orders", collect(t, b.Orders.Orders(t.Context(), "buyer")), want)
	same(t, "orders of nobody", collect(t, b.Orders.Orders(t.Context(), "nobody")), nil, empty)
	for range b.Orders.Orders(t.Context(), "buyer") {
		break
	}
}

func orderExpired(t *testing.T, b Backend) {
	at := func(d time.Duration, status order.Status) order.Order {
		o := newOrder()
		o.ExpiresAt, o.Status = noon.Add(d), status
		must(t, "create", b.Orders.Commit(t.Context(), reserve(o)))
		return o
	}
	last := at(0, order.Created)
	at(time.Millisecond, order.Created)
	first := at(-time.Hour, order.Created)
	at(-time.Hour, order.Complete)
	at(-time.Hour, order.Cancelled)
	at(-time.Hour, order.AwaitingPayment)
	middle := at(-time.Minute, order.Created)

	got, err := b.Orders.Expired(t.Context(), noon, 10)
	must(t, "expired", err)
	same(t, "expired orders", got, []order.Order{first, middle, last})
	got, err = b.Orders.Expired(t.Context(), noon, 2)
	must(t, "expired", err)
	same(t, "two expired orders", got, []order.Order{first, middle})
	got, err = b.Orders.Expired(t.Context(), noon.Add(-2*time.Hour), 10)
	must(t, "expired", err)
	same(t, "nothing expired", got, nil, empty)
}

func orderPage(t *testing.T, b Backend) {
	var want []order.Order
	for i, id := range descending(5) {
		o := newOrder()
		o.ID, o.UserID = id, fmt.Sprint("user ", i)
		if i == 2 {
			o.Status = order.Cancelled
		}
		must(t, "create", b.Orders.Commit(t.Context(), reserve(o)))
		want = append([]order.Order{o}, want...)
	}
	for after, rest := range map[string][]order.Order{"": want, want[1].ID: want[2:], want[4].ID: nil} {
		got, err := b.Orders.Page(t.Context(), after, 3)
		must(t, "page", err)
		same(t, "page after "+after, got, rest[:min(3, len(rest))], empty)
	}
}

// orderEnds lets a user, a payment and the clock end the same orders.
func orderEnds(t *testing.T, b Backend) {
	ticketID := objectid.New()
	_, err := b.Replica.Write(t.Context(), []replica.Write{{From: event.None, Row: replica.Row{ID: ticketID, Title: "a chair", Price: 5}}})
	must(t, "replica", err)
	service := order.NewService(b.Orders, b.OrderTickets, order.Options{})
	for range 10 {
		v, err := service.Reserve(t.Context(), "buyer", ticketID)
		must(t, "reserve", err)
		for _, err := range race(6, func(i int) error {
			if i%2 == 0 {
				return service.Cancel(t.Context(), "buyer", v.ID)
			}
			_, err := service.Expire(t.Context(), event.Expired{OrderID: v.ID})
			return err
		}) {
			must(t, "end", err)
		}
		got, err := b.Orders.Order(t.Context(), v.ID)
		must(t, "read", err)
		same(t, "version of an order that ended once", got.Version, int64(1))
		records, err := b.Outbox.Key(t.Context(), v.ID, event.None, 10)
		must(t, "read events", err)
		same(t, "events", subjects(records), []event.Subject{event.OrderCreated, event.OrderCancelled})
	}
}

func subjects(records []outbox.Record) []event.Subject {
	var all []event.Subject
	for _, r := range records {
		all = append(all, r.Subject)
	}
	return all
}
