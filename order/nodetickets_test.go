package order_test

import (
	"slices"

	"pgregory.net/rapid"

	"lockstep/event"
	"lockstep/order"
	"lockstep/replica"
)

// nodeHears gives an event of the orders to a tickets service of Node's, which
// minds neither whose lock it is nor whether it had the event before, and copies
// the ticket to the replica.
func (w *world) nodeHears(e event.Event) {
	w.heard[e.ID()] = true
	holder := ""
	if e.Subject == event.OrderCreated {
		holder = e.Key
	}
	row, err := w.db.Replica().Row(w.Context(), w.stored()[e.Key].TicketID)
	w.fine(err)
	from := row.Version
	row.Version, row.OrderID = from+1, holder
	_, err = w.db.Replica().Write(w.Context(), []replica.Write{{From: from, Row: row}})
	w.fine(err)
}

// nodeHearsAny gives it any event, which it may have had before.
func (w *world) nodeHearsAny() {
	all := w.announced()
	if len(all) == 0 {
		w.Skip("nothing announced yet")
	}
	w.nodeHears(rapid.SampledFrom(all).Draw(w.T, "event"))
}

func (w *world) unheard() []event.Event {
	return slices.DeleteFunc(w.announced(), func(e event.Event) bool { return w.heard[e.ID()] })
}

// announced returns the events of all orders.
func (w *world) announced() (all []event.Event) {
	for _, id := range w.orders {
		records, err := w.db.Outbox().Key(w.Context(), id, event.None, 100)
		w.fine(err)
		for _, r := range records {
			all = append(all, r.Event)
		}
	}
	return all
}

// look compares the locks with the orders, and announces what is due. A release
// that is repeated must not meet the lock of another order.
func (w *world) look() {
	before := w.stored()
	err := w.locks.Look(w.Context(), true)
	w.fine(err)
	active := w.active()
	for id, o := range w.stored() {
		if other := active[o.TicketID]; o.Status == order.Cancelled && o.Version > before[id].Version && other != "" {
			w.Fatalf("order %s was released again while order %s has the ticket", id, other)
		}
	}
}

// settleLocks gives Node's tickets service what it has not heard yet, and what
// follows, until nothing more is announced.
func (w *world) settleLocks() {
	for quiet := 0; quiet < 3; quiet++ {
		w.look()
		if rest := w.unheard(); len(rest) > 0 {
			quiet = 0
			for _, e := range rapid.Permutation(rest).Draw(w.T, "heard") {
				w.nodeHears(e)
			}
		}
	}
	active, stored := w.active(), w.stored()
	for _, id := range raced {
		row, err := w.db.Replica().Row(w.Context(), id)
		w.fine(err)
		has, holds := stored[active[id]], stored[row.OrderID]
		if has.Status == order.Complete && holds.ID != has.ID && !w.givenUp[has.ID] {
			w.Fatalf("ticket %s is locked for %q, not for the paid order %+v", id, row.OrderID, has)
		}
		if has.ID == "" && holds.Status == order.Cancelled && !w.givenUp[holds.ID] {
			w.Fatalf("ticket %s stays locked for the cancelled order %+v", id, holds)
		}
	}
}

// checkPaymentsService goes with what was announced of an order through the
// rules of Node's payments service: it keeps the first order:created, and a
// cancellation only with the next version. No money for cancelled orders.
func (w *world) checkPaymentsService(o order.Order, events []event.Event) {
	version, cancelled := event.None, false
	for _, e := range events {
		switch {
		case e.Subject == event.OrderCreated && version == event.None:
			version = e.Version
		case e.Subject == event.OrderCancelled && version == e.Version-1:
			version, cancelled = e.Version, true
		}
	}
	if o.Status == order.Cancelled && !cancelled {
		w.Fatalf("a payments service takes money for the cancelled order %+v", o)
	}
}
