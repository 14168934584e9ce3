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

	due := func(all ...order.Order) (want []order.Due) {
		for _, o := range all {
			want = append(want, order.Due{OrderID: o.ID, ExpiresAt: o.ExpiresAt})
		}
		return want
	}
	same(t, "expired orders", collect(t, b.Orders.Expired(t.Context(), noon)), due(first, middle, last))
	same(t, "nothing expired", collect(t, b.Orders.Expired(t.Context(), noon.Add(-2*time.Hour))), nil, empty)
	for range b.Orders.Expired(t.Context(), noon) {
		break
	}
}

// orderExpiredWhileWriting cancels every other order that is yielded, over
// several pages, with many that end at the same moment. Case 10.7.
func orderExpiredWhileWriting(t *testing.T, b Backend) {
	const n = 1100
	want := map[string]bool{}
	for _, err := range race(n, func(i int) error {
		o := newOrder()
		o.ID, o.ExpiresAt = fmt.Sprintf("%024x", i), noon.Add(-time.Duration(i/700)*time.Minute)
		return b.Orders.Commit(t.Context(), reserve(o))
	}) {
		must(t, "create", err)
	}
	for i := range n {
		want[fmt.Sprintf("%024x", i)] = true
	}
	got := map[string]bool{}
	for d, err := range b.Orders.Expired(t.Context(), noon) {
		must(t, "expired", err)
		if got[d.OrderID] {
			t.Fatalf("order %s is yielded twice", d.OrderID)
		}
		got[d.OrderID] = true
		if len(got)%2 == 0 {
			o, err := b.Orders.Order(t.Context(), d.OrderID)
			must(t, "read", err)
			must(t, "cancel", b.Orders.Commit(t.Context(), moved(o, order.Cancelled)))
		}
	}
	same(t, "expired orders", got, want)
	same(t, "orders left", len(collect(t, b.Orders.Expired(t.Context(), noon))), n/2)
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

// orderLocks. Case 9.2.
func orderLocks(t *testing.T, b Backend) {
	const none = order.Status("")
	var want []order.Lock
	var ids []string
	for i, c := range []struct {
		lock   order.Status // of the order that the replica shows as the holder
		active order.Status // of the order that has the ticket, if it is another
		wrong  bool
	}{
		{none, none, false},
		{none, order.Created, false},
		{none, order.AwaitingPayment, false},
		{none, order.Complete, true},
		{order.Created, none, false},
		{order.AwaitingPayment, none, false},
		{order.Complete, none, false},
		{order.Cancelled, none, true},
		{order.Cancelled, order.Created, true},
		{order.Cancelled, order.AwaitingPayment, true},
		{order.Cancelled, order.Complete, true},
		{"unknown", none, false},
		{"unknown", order.Created, false},
		{"unknown", order.Complete, true},
	} {
		l := order.Lock{TicketID: fmt.Sprintf("%024x", i+1), Version: 3}
		row := replica.Row{ID: l.TicketID, Title: "a chair", Price: 5, Version: l.Version}
		if c.lock != none {
			row.OrderID = objectid.New()
		}
		for id, status := range map[string]order.Status{row.OrderID: c.lock, objectid.New(): c.active} {
			if status == none || status == "unknown" {
				continue
			}
			o := newOrder()
			o.ID, o.TicketID, o.Status, o.LockFrom = id, l.TicketID, status, 7
			must(t, "create", b.Orders.Commit(t.Context(), reserve(o)))
			if status == order.Cancelled {
				l.Left = o
			} else {
				l.Active = o
			}
		}
		_, err := b.Replica.Write(t.Context(), []replica.Write{{From: event.None, Row: row}})
		must(t, "replica", err)
		if c.wrong {
			want = append(want, l)
		}
		ids = append(ids, l.TicketID)
	}
	got, err := b.OrderTickets.Locks(t.Context(), append(ids, "nobody"))
	must(t, "locks", err)
	same(t, "wrong locks", got, want)
	got, err = b.OrderTickets.Locks(t.Context(), ids[4:7])
	must(t, "locks", err)
	same(t, "none of these", got, nil, empty)
	_, err = b.Replica.Write(t.Context(), []replica.Write{{From: 3, Row: replica.Row{ID: ids[3], Version: 4, Deleted: true}}})
	must(t, "delete", err)
	got, err = b.OrderTickets.Locks(t.Context(), ids[3:4])
	must(t, "locks", err)
	same(t, "wrong lock of a deleted ticket", got, nil, empty)
}

// orderTicketIDs. Case 9.2.
func orderTicketIDs(t *testing.T, b Backend) {
	var ids []string
	for i := range 7 {
		ids = append(ids, fmt.Sprintf("%024x", i+1))
		_, err := b.Replica.Write(t.Context(), []replica.Write{{From: event.None, Row: replica.Row{ID: ids[i], Title: "a chair", Price: 5}}})
		must(t, "replica", err)
	}
	for after, rest := range map[string][]string{"": ids, ids[2]: ids[3:], ids[4]: ids[5:], ids[6]: nil} {
		page, err := b.OrderTickets.TicketIDs(t.Context(), after, 3)
		must(t, "tickets", err)
		same(t, "tickets after "+after, page, rest[:min(3, len(rest))], empty)
	}
}
