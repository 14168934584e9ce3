package order_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"lockstep/event"
	"lockstep/order"
	"lockstep/replica"
)

// refunds returns what the store keeps to be given back.
func (f fixture) refunds(t *testing.T) []order.Payment {
	t.Helper()
	all, err := f.db.Orders().Refunds(t.Context(), false, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (f fixture) pay(t *testing.T, o, id string) event.Outcome {
	t.Helper()
	got, err := f.Complete(t.Context(), event.Paid{OrderID: o, ID: id, StripeID: "ch_" + id})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (f fixture) stored(t *testing.T, id string) order.Order {
	t.Helper()
	got, err := f.db.Orders().Order(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestAPaymentAfterTheCancellationCompletesAFreeOrder. Case 9.1.
func TestAPaymentAfterTheCancellationCompletesAFreeOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	if err := f.Cancel(t.Context(), "ann", v.ID); err != nil {
		t.Fatal(err)
	}
	for _, want := range []event.Outcome{event.Applied, event.Duplicate} {
		if got := f.pay(t, v.ID, "p1"); got != want {
			t.Errorf("payment of a cancelled order: %v, want %v", got, want)
		}
	}
	if got := f.stored(t, v.ID); got.Status != order.Complete || got.PaidBy != "p1" || got.Version != 2 {
		t.Errorf("order = %+v, want it complete by p1 at version 2", got)
	}
	if _, err := f.Reserve(t.Context(), "bob", ticketID); !errors.Is(err, order.ErrReserved) {
		t.Errorf("the ticket is sold again: %v, want ErrReserved", err)
	}
	events := f.payloads(t, v.ID)
	want := `order:created {"id":"` + v.ID + `","version":2,"status":"created","userId":"ann","expiresAt":"2026-11-23T01:58:01.630Z",` +
		`"ticket":{"id":"` + ticketID + `","price":20.5}}`
	if len(events) != 3 || events[2] != want {
		t.Errorf("events = %q, want the lock announced again: %q", events, want)
	}
	if got := f.refunds(t); len(got) != 0 {
		t.Errorf("refunds = %+v, want none", got)
	}
}

// TestAPaymentForASoldTicketIsARefund. Cases 9.1 and 10.16.
func TestAPaymentForASoldTicketIsARefund(t *testing.T) {
	t.Parallel()
	var told []order.Payment
	var said strings.Builder
	reg := prometheus.NewRegistry()
	f := newFixtureOf(t, order.Options{
		OnRefund: func(_ context.Context, p order.Payment) { told = append(told, p) },
		Metrics:  order.NewMetrics(reg), Log: logTo(&said),
	})
	v := f.reserve(t, "ann")
	if err := f.Cancel(t.Context(), "ann", v.ID); err != nil {
		t.Fatal(err)
	}
	f.reserve(t, "bob")
	for _, want := range []event.Outcome{event.Applied, event.Duplicate, event.Duplicate} {
		if got := f.pay(t, v.ID, "p1"); got != want {
			t.Errorf("payment: %v, want %v", got, want)
		}
	}
	want := []order.Payment{{
		OrderID: v.ID, PaymentID: "p1", StripeID: "ch_p1", TicketID: ticketID, UserID: "ann", Price: 20.5,
		Reason: order.RefundCancelled, At: f.clock.Now(),
	}}
	if diff := cmp.Diff(want, f.refunds(t)); diff != "" {
		t.Errorf("refunds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	for _, part := range []string{"level=ERROR", "payment_id=p1", "stripe_id=ch_p1", "order_id=" + v.ID, "ticket_id=" + ticketID, "user_id=ann", "price=20.5", "reason=cancelled"} {
		if strings.Count(said.String(), part) != 1 {
			t.Errorf("the log has %q not once:\n%s", part, said.String())
		}
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP lockstep_orders_refunds_total Payments without goods that were recorded to be given back.
# TYPE lockstep_orders_refunds_total counter
lockstep_orders_refunds_total{reason="cancelled"} 1
lockstep_orders_refunds_total{reason="paid_twice"} 0
`), "lockstep_orders_refunds_total"); err != nil {
		t.Error(err)
	}
	if got := f.stored(t, v.ID); got.Status != order.Cancelled || got.Version != 1 {
		t.Errorf("order = %+v, want it cancelled as it was", got)
	}
}

// TestAPaymentForATicketThatIsGoneIsARefund: nothing locks it any more. Cases 9.1
// and 11.6, where the ticket was a forged one.
func TestAPaymentForATicketThatIsGoneIsARefund(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]replica.Write{
		"deleted":                   {From: 3, Row: replica.Row{ID: ticketID, Version: 4, Deleted: true}},
		"never its owner's, forged": {From: 3, Row: replica.Row{ID: ticketID}, Remove: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			v := f.reserve(t, "ann")
			if err := f.Cancel(t.Context(), "ann", v.ID); err != nil {
				t.Fatal(err)
			}
			if n, err := f.db.Replica().Write(t.Context(), []replica.Write{gone}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			for _, want := range []event.Outcome{event.Applied, event.Duplicate} {
				if got := f.pay(t, v.ID, "p1"); got != want {
					t.Errorf("payment: %v, want %v", got, want)
				}
			}
			if got := f.refunds(t); len(got) != 1 || got[0].OrderID != v.ID || got[0].Reason != order.RefundCancelled {
				t.Errorf("refunds = %+v, want that of the order", got)
			}
			if got := f.stored(t, v.ID); got.Status != order.Cancelled || got.Version != 1 {
				t.Errorf("order = %+v, want it cancelled as it was", got)
			}
			if events := f.payloads(t, v.ID); len(events) != 2 {
				t.Errorf("events = %q, want nothing announced again", events)
			}
		})
	}
}

// TestTheOrderOfATicketThatItsOwnerNeverHadEnds, unless it is paid, or the ticket
// is there again. Case 11.6.
func TestTheOrderOfATicketThatItsOwnerNeverHadEnds(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]order.Status{"open": order.Cancelled, "paid": order.Complete, "there again": order.Created} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			v := f.reserve(t, "ann")
			if name == "paid" {
				f.pay(t, v.ID, "p1")
			}
			if name != "there again" {
				gone := replica.Write{From: 3, Row: replica.Row{ID: ticketID}, Remove: true}
				if n, err := f.db.Replica().Write(t.Context(), []replica.Write{gone}); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
			for range 2 {
				if err := f.TicketGone(t.Context(), ticketID); err != nil {
					t.Error(err)
				}
			}
			if got := f.stored(t, v.ID); got.Status != want {
				t.Errorf("the order is %s, want %s", got.Status, want)
			}
			if events := f.payloads(t, v.ID); (len(events) == 2) != (want == order.Cancelled) {
				t.Errorf("events = %q, want the cancellation announced if there is one", events)
			}
		})
	}
}

// TestAnotherPaymentForACompleteOrderIsARefund. Case 9.1.
func TestAnotherPaymentForACompleteOrderIsARefund(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	for _, s := range []struct {
		payment string
		want    event.Outcome
	}{{"p1", event.Applied}, {"p1", event.Duplicate}, {"p2", event.Applied}, {"p2", event.Duplicate}, {"p1", event.Duplicate}} {
		if got := f.pay(t, v.ID, s.payment); got != s.want {
			t.Errorf("payment %s: %v, want %v", s.payment, got, s.want)
		}
	}
	got := f.refunds(t)
	if len(got) != 1 || got[0].PaymentID != "p2" || got[0].Reason != order.RefundPaidTwice {
		t.Errorf("refunds = %+v, want p2, paid twice", got)
	}
	if got := f.stored(t, v.ID); got.PaidBy != "p1" || got.Version != 1 {
		t.Errorf("order = %+v, want it complete by p1 at version 1", got)
	}
}

// TestACompleteOrderWithoutAPaymentTakesTheFirst: a Node service, or an older
// release, completed it. Case 9.1.
func TestACompleteOrderWithoutAPaymentTakesTheFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	now := v.Order
	now.Status, now.Version = order.Complete, 1
	if err := f.db.Orders().Commit(t.Context(), order.Change{Was: &v.Order, Now: now}); err != nil {
		t.Fatal(err)
	}
	f.pay(t, v.ID, "p1")
	f.pay(t, v.ID, "p2")
	if got := f.stored(t, v.ID); got.PaidBy != "p1" || got.Status != order.Complete {
		t.Errorf("order = %+v, want it complete by p1", got)
	}
	if got := f.refunds(t); len(got) != 1 || got[0].PaymentID != "p2" {
		t.Errorf("refunds = %+v, want p2", got)
	}
}

// unanswered loses the answer of the next commit that carries a payment.
type unanswered struct {
	order.Store
	lose int
}

func (u *unanswered) Commit(ctx context.Context, c order.Change) error {
	err := u.Store.Commit(ctx, c)
	if err == nil && c.Payment != nil && u.lose > 0 {
		u.lose--
		return order.ErrUnknown
	}
	return err
}

// TestARefundWhoseCommitGotNoAnswerIsToldOfOnce. Case 9.1.
func TestARefundWhoseCommitGotNoAnswerIsToldOfOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	f.pay(t, v.ID, "p1")
	told := 0
	s := order.NewService(&unanswered{f.db.Orders(), 1}, f.db.OrderTickets(), order.Options{
		OnRefund: func(context.Context, order.Payment) { told++ },
	})
	for _, want := range []event.Outcome{event.Applied, event.Duplicate} {
		if got, err := s.Complete(t.Context(), event.Paid{OrderID: v.ID, ID: "p2"}); got != want || err != nil {
			t.Errorf("payment = %v, %v, want %v", got, err, want)
		}
	}
	if told != 1 || len(f.refunds(t)) != 1 {
		t.Errorf("told %d times of %d refunds, want once of one", told, len(f.refunds(t)))
	}
}
