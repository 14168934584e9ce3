package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
)

var orderCases = []testCase{
	{"an order and its event come back exactly", orderRoundTrip},
	{"an unknown order is ErrNotFound", orderUnknown},
	{"the active order of a ticket is found", orderActive}, // case 11.6
	{"of 16 reservations of one ticket, one is stored", orderOneActive},
	{"every active status keeps others off the ticket, and no other does", orderStatuses},
	{"a condition that does not hold is ErrConflict and stores nothing", orderConflicts},
	{"when the event fails, the order is not stored", orderBothOrNeither},
	{"Orders yields one user's orders in order of creation", orderOfUser},
	{"Expired gives created orders whose time has come, longest overdue first", orderExpired},
	{"Expired leaves nobody out while its orders are written", orderExpiredWhileWriting},
	{"Page goes by id over all users", orderPage},
	{"a payment comes back exactly and is known once", paymentRoundTrip},
	{"of 16 decisions on one payment, one is stored, with its order or without", paymentOneDecision},
	{"Refunds gives what must be given back, and what was", paymentRefunds},
	{"Locks finds tickets whose lock is wrong", orderLocks},
	{"TicketIDs pages through the replica", orderTicketIDs},
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

		c := moved(want, order.Complete)
		c.Now.PaidBy, c.Now.LockFrom = "pay_"+text, 5
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

func orderActive(t *testing.T, b Backend) {
	_, err := b.Orders.Active(t.Context(), objectid.New())
	wants(t, "active order of a ticket without one", err, order.ErrNotFound)
	for _, status := range order.Active() {
		o := newOrder()
		o.Status = status
		must(t, "create", b.Orders.Commit(t.Context(), reserve(o)))
		got, err := b.Orders.Active(t.Context(), o.TicketID)
		must(t, "active", err)
		same(t, "active order", got, o.ID)
		must(t, "cancel", b.Orders.Commit(t.Context(), moved(o, order.Cancelled)))
		_, err = b.Orders.Active(t.Context(), o.TicketID)
		wants(t, "active order once it is cancelled", err, order.ErrNotFound)
	}
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
		must(t, "delete event", b.Outbox.Delete(t.Context(), refsTo(orderFact(winner))))
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
