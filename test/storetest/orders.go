package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
)

var orderCases = []testCase{
	{"an order and its event come back exactly", orderRoundTrip},
	{"an unknown order is ErrNotFound", orderUnknown},
	{"of 16 reservations of one ticket, one is stored", orderOneActive},
	{"every active status keeps others off the ticket, and no other does", orderStatuses},
	{"a condition that does not hold is ErrConflict and stores nothing", orderConflicts},
	{"when the event fails, the order is not stored", orderBothOrNeither},
	{"Orders yields one user's orders in order of creation", orderOfUser},
	{"Expired gives created orders whose time has come, longest overdue first", orderExpired},
	{"Page goes by id over all users", orderPage},
	{"an order ends once, whoever ends it", orderEnds},
}

func reserve(o order.Order) order.Change {
	return order.Change{Now: o, Events: []event.Event{orderFact(o)}}
}

func orderFact(o order.Order) event.Event {
	e := fact(o.ID, o.Version)
	e.Subject = event.OrderCreated
	return e
}

// moved returns the change of o, as stored, to status.
func moved(o order.Order, status order.Status) order.Change {
	now := o
	now.Status = status
	now.Version++
	return order.Change{Was: &o, Now: now}
}

func orderRoundTrip(t *testing.T, b Backend) {
	for i, text := range texts {
		want := newOrder()
		want.UserID, want.Price = text, prices[i%len(prices)]
		must(t, "create", b.Orders.Commit(t.Context(), reserve(want)))
		got, err := b.Orders.Order(t.Context(), want.ID)
		must(t, "read", err)
		same(t, "order", got, want)
		r, err := b.Outbox.Record(t.Context(), orderFact(want).ID())
		must(t, "read event", err)
		same(t, "event", r.Event, orderFact(want))

		c := moved(want, order.Cancelled)
		c.Now.ExpiresAt = c.Now.ExpiresAt.Add(time.Millisecond)
		must(t, "write", b.Orders.Commit(t.Context(), c))
		got, err = b.Orders.Order(t.Context(), want.ID)
		must(t, "read", err)
		same(t, "order after a write", got, c.Now)
	}
}

func orderUnknown(t *testing.T, b Backend) {
	_, err := b.Orders.Order(t.Context(), objectid.New())
	wants(t, "unknown order", err, order.ErrNotFound)
}

func orderOneActive(t *testing.T, b Backend) {
	ticketID := objectid.New()
	for range 3 {
		racers := make([]order.Order, 16)
		for i := range racers {
			racers[i] = newOrder()
			racers[i].TicketID = ticketID
		}
		errs := race(len(racers), func(i int) error { return b.Orders.Commit(t.Context(), reserve(racers[i])) })
		winner := racers[oneWinner(t, "reservations", errs, order.ErrReserved)]
		same(t, "events", len(waiting(t, b)), 1)
		must(t, "cancel", b.Orders.Commit(t.Context(), moved(winner, order.Cancelled)))
		must(t, "delete event", b.Outbox.Delete(t.Context(), idsOf(orderFact(winner))))
	}
}

func orderStatuses(t *testing.T, b Backend) {
	for _, status := range []order.Status{order.Created, order.AwaitingPayment, order.Complete, order.Cancelled} {
		first := newOrder()
		first.Status = status
		must(t, "create", b.Orders.Commit(t.Context(), reserve(first)))
		second := newOrder()
		second.TicketID = first.TicketID
		err := b.Orders.Commit(t.Context(), reserve(second))
		if slices.Contains(order.Active(), status) {
			wants(t, fmt.Sprintf("reserve beside an order that is %s", status), err, order.ErrReserved)
			_, err = b.Orders.Order(t.Context(), second.ID)
			wants(t, "refused order", err, order.ErrNotFound)
			continue
		}
		must(t, fmt.Sprintf("reserve after an order that is %s", status), err)
		wants(t, "bring the first order back", b.Orders.Commit(t.Context(), moved(first, order.Created)), order.ErrReserved)
		got, err := b.Orders.Order(t.Context(), first.ID)
		must(t, "read", err)
		same(t, "order that was not brought back", got, first)
	}
}

func orderConflicts(t *testing.T, b Backend) {
	stored := newOrder()
	must(t, "create", b.Orders.Commit(t.Context(), reserve(stored)))
	before := waiting(t, b)
	elsewhere := stored
	elsewhere.TicketID = objectid.New()
	older, newer := stored, stored
	older.Version--
	newer.Version++
	for name, c := range map[string]order.Change{
		"create the same again":       {Now: stored},
		"create the id for another":   {Now: elsewhere},
		"write an older version":      moved(older, order.Cancelled),
		"write a newer version":       moved(newer, order.Cancelled),
		"write an order that is gone": moved(newOrder(), order.Cancelled),
	} {
		c.Events = []event.Event{fact(objectid.New(), 3)}
		wants(t, name, b.Orders.Commit(t.Context(), c), order.ErrConflict)
		got, err := b.Orders.Order(t.Context(), stored.ID)
		must(t, "read", err)
		same(t, name+": order", got, stored)
		same(t, name+": outbox", waiting(t, b), before)
	}
}

func orderBothOrNeither(t *testing.T, b Backend) {
	stored := newOrder()
	must(t, "create", b.Orders.Commit(t.Context(), reserve(stored)))
	made := newOrder()
	for name, c := range map[string]order.Change{"create": {Now: made}, "write": moved(stored, order.Cancelled)} {
		before := waiting(t, b)
		c.Events = []event.Event{fact(objectid.New(), 0), orderFact(stored)}
		if err := b.Orders.Commit(t.Context(), c); err == nil {
			t.Errorf("%s: an event with an id that is taken was accepted", name)
		}
		same(t, name+": outbox", waiting(t, b), before)
	}
	_, err := b.Orders.Order(t.Context(), made.ID)
	wants(t, "order whose event failed", err, order.ErrNotFound)
	got, err := b.Orders.Order(t.Context(), stored.ID)
	must(t, "read", err)
	same(t, "order whose event failed", got, stored)
}

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
