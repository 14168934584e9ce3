package listeners_test

import (
	"path/filepath"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/store/sqlite"
	tickets "lockstep/ticket"
)

func TestOrderEventsLockAndReleaseTickets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tickets.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	id := ticketID(7)
	svc := tickets.NewService(db.Tickets(), tickets.Options{NewID: func() string { return id }})
	m := w.join(t, setup{
		handler: listeners.NewLocks(svc), quarantine: db.Quarantine(),
		options: listeners.Options{Group: listeners.TicketsService},
	})
	reserved := func(order string) event.Event {
		return must(event.Reserved{OrderID: order, TicketID: id, ExpiresAt: time.Now()}.Event(time.Now()))
	}
	cancelled := func(order string) event.Event {
		return must(event.Cancelled{OrderID: order, Version: 1, TicketID: id}.Event(time.Now()))
	}
	holder := func() string {
		got, err := svc.Ticket(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return got.OrderID
	}
	w.publish(t, reserved("a"))
	until(t, "the lock waits for its ticket", func() bool { return len(m.Held()) == 1 })
	if _, err := svc.Create(t.Context(), "u", tickets.Draft{Title: "t", Price: 1}); err != nil {
		t.Fatal(err)
	}
	until(t, "a has the ticket", func() bool { return holder() == "a" })
	w.publish(t, cancelled("c"))
	until(t, "the release leaves a tombstone", func() bool {
		l, err := svc.KnownLock(t.Context(), "c")
		return err == nil && l.State == tickets.Tombstone
	})
	w.publish(t, reserved("c"), reserved("b"), cancelled("a"))
	until(t, "b has the ticket", func() bool { return holder() == "b" })
	until(t, "everything is acknowledged", func() bool { return metric(t, "lockstep_listener_in_flight", nil, m) == 0 })
}

func TestEventsOfOthersEndOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	svc := order.NewService(w.db.Orders(), w.db.OrderTickets(), order.Options{})
	m := w.join(t, setup{handler: listeners.NewOrders(svc)})
	w.join(t, setup{})
	w.publish(t, ticket(ticketID(1), 0), ticket(ticketID(2), 0))
	w.settled(t, 2, 0)
	paid, err := svc.Reserve(t.Context(), "u", ticketID(1))
	if err != nil {
		t.Fatal(err)
	}
	expired, err := svc.Reserve(t.Context(), "u", ticketID(2))
	if err != nil {
		t.Fatal(err)
	}
	w.publish(t,
		event.Event{Subject: event.PaymentCreated, Payload: []byte(`{"id":"p","orderId":"` + paid.Order.ID + `","stripeId":"s"}`)},
		event.Event{Subject: event.ExpirationComplete, Payload: []byte(`{"orderId":"` + expired.Order.ID + `"}`)},
		event.Event{Subject: event.ExpirationComplete, Payload: []byte(`{"orderId":"unknown"}`)},
	)
	for id, want := range map[string]order.Status{paid.Order.ID: order.Complete, expired.Order.ID: order.Cancelled} {
		until(t, "the order ends", func() bool {
			got, err := svc.Order(t.Context(), "u", id)
			if err != nil {
				t.Fatal(err)
			}
			return got.Order.Status == want
		})
	}
	until(t, "only the unknown one waits", func() bool { return len(m.Held()) == 1 && m.Held()[0].Key == "unknown" })
}

func must(e event.Event, err error) event.Event {
	if err != nil {
		panic(err) // plain strings and numbers always encode
	}
	return e
}
