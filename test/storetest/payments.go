package storetest

import (
	"fmt"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
)

func newPayment(o order.Order, id string, reason order.Reason) order.Payment {
	return order.Payment{
		OrderID: o.ID, PaymentID: id, StripeID: "ch_" + id, TicketID: o.TicketID, UserID: o.UserID, Price: o.Price,
		Reason: reason, At: noon,
	}
}

func paymentRoundTrip(t *testing.T, b Backend) {
	stored := newOrder()
	must(t, "create", b.Orders.Commit(t.Context(), reserve(stored)))
	paid := newPayment(stored, "pay_1", "")
	_, err := b.Orders.Payment(t.Context(), paid.ID())
	wants(t, "unknown payment", err, order.ErrNotFound)
	c := moved(stored, order.Complete)
	c.Now.PaidBy, c.Payment = paid.PaymentID, &paid
	must(t, "complete", b.Orders.Commit(t.Context(), c))
	got, err := b.Orders.Payment(t.Context(), paid.ID())
	must(t, "read payment", err)
	same(t, "payment", got, paid)
	o, err := b.Orders.Order(t.Context(), stored.ID)
	must(t, "read", err)
	same(t, "order", o, c.Now)

	refund := newPayment(stored, "pay/2 \u00fc", order.RefundPaidTwice)
	must(t, "refund", b.Orders.Commit(t.Context(), order.Change{Payment: &refund}))
	got, err = b.Orders.Payment(t.Context(), refund.ID())
	must(t, "read refund", err)
	same(t, "refund", got, refund)

	again := moved(c.Now, order.Cancelled)
	again.Payment, again.Events = &refund, []event.Event{fact(objectid.New(), 0)}
	before := waiting(t, b)
	wants(t, "a known payment with an order", b.Orders.Commit(t.Context(), again), order.ErrConflict)
	wants(t, "a known payment alone", b.Orders.Commit(t.Context(), order.Change{Payment: &refund}), order.ErrConflict)
	o, err = b.Orders.Order(t.Context(), stored.ID)
	must(t, "read", err)
	same(t, "order after a known payment", o, c.Now)
	same(t, "outbox after a known payment", waiting(t, b), before)

	other := newPayment(stored, "pay_3", order.RefundPaidTwice)
	stale := moved(stored, order.Complete)
	stale.Payment = &other
	wants(t, "an order that has changed", b.Orders.Commit(t.Context(), stale), order.ErrConflict)
	_, err = b.Orders.Payment(t.Context(), other.ID())
	wants(t, "payment of an order that has changed", err, order.ErrNotFound)
}

// paymentOneDecision lets members decide differently on one payment at once: a
// cancelled order is completed by it, or it is given back. Case 9.1.
func paymentOneDecision(t *testing.T, b Backend) {
	cancelled := newOrder()
	cancelled.Status = order.Cancelled
	must(t, "create", b.Orders.Commit(t.Context(), reserve(cancelled)))
	for round := range 5 {
		errs := race(16, func(i int) error {
			p := newPayment(cancelled, fmt.Sprint("pay", round), order.RefundCancelled)
			c := order.Change{Payment: &p}
			if i%2 == 0 {
				p.Reason = ""
				c = moved(cancelled, order.Complete)
				c.Payment, c.Now.PaidBy = &p, p.PaymentID
			}
			return b.Orders.Commit(t.Context(), c)
		})
		winner := oneWinner(t, "decisions", errs, order.ErrConflict)
		p, err := b.Orders.Payment(t.Context(), order.PaymentKey(cancelled.ID, fmt.Sprint("pay", round)))
		must(t, "read payment", err)
		o, err := b.Orders.Order(t.Context(), cancelled.ID)
		must(t, "read", err)
		same(t, "payment completes its order", p.Reason == "", winner%2 == 0)
		same(t, "order is complete", o.Status == order.Complete, winner%2 == 0)
		if o.Status == order.Complete {
			must(t, "cancel", b.Orders.Commit(t.Context(), moved(o, order.Cancelled)))
			cancelled = moved(o, order.Cancelled).Now
		}
	}
}

func paymentRefunds(t *testing.T, b Backend) {
	var want []order.Payment
	for i := range 5 {
		o := newOrder()
		o.ID = fmt.Sprintf("%024x", 5-i)
		p := newPayment(o, "pay", order.Reasons()[i%2])
		must(t, "refund", b.Orders.Commit(t.Context(), order.Change{Payment: &p}))
		want = append([]order.Payment{p}, want...)
	}
	completes := newPayment(newOrder(), "pay", "")
	must(t, "payment", b.Orders.Commit(t.Context(), order.Change{Payment: &completes}))

	refunds := func(open bool, after string, limit int) []order.Payment {
		t.Helper()
		got, err := b.Orders.Refunds(t.Context(), open, after, limit)
		must(t, "refunds", err)
		return got
	}
	open := func(n int) {
		t.Helper()
		got, err := b.Orders.OpenRefunds(t.Context())
		must(t, "count", err)
		same(t, "open refunds", got, n)
	}
	same(t, "all refunds", refunds(false, "", 10), want)
	same(t, "a page of refunds", refunds(true, want[0].ID(), 3), want[1:4])
	open(5)
	at := noon.Add(time.Hour)
	for _, settledAt := range []time.Time{at, at.Add(time.Hour)} { // the first counts
		must(t, "settle", b.Orders.Settle(t.Context(), want[2].ID(), settledAt))
	}
	settled := want[2]
	settled.SettledAt = at
	open(4)
	same(t, "refunds from the settled one on", refunds(false, want[1].ID(), 1), []order.Payment{settled})
	same(t, "open ones from there on", refunds(true, want[1].ID(), 1), want[3:4])
	wants(t, "settle what nobody knows", b.Orders.Settle(t.Context(), "nope", at), order.ErrNotFound)
	wants(t, "settle what completes its order", b.Orders.Settle(t.Context(), completes.ID(), at), order.ErrNotFound)
}
