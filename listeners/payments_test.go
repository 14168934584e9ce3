package listeners_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/listeners"
)

func payment(id string) event.Event {
	return event.Event{Subject: event.PaymentCreated, Payload: fmt.Appendf(nil, `{"id":%q,"orderId":"o"}`, id)}
}

// readPayments returns the ids that one reading brings.
func readPayments(t *testing.T, p *listeners.Payments, from time.Time) []string {
	t.Helper()
	ids := []string{}
	err := p.CatchUp(t.Context(), from, func(_ context.Context, p event.Paid) error {
		ids = append(ids, p.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func wantPayments(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestPaymentsAreReadUpToThePresent, each once. Cases 9.1, 10.7.
func TestPaymentsAreReadUpToThePresent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.Dial(t, "reader")
	until(t, "the session is connected", s.Connected)
	p := listeners.NewPayments(s)
	now := time.Now()
	wantPayments(t, "an empty channel", readPayments(t, p, now))
	w.publish(t, payment("1"), payment("2"))
	wantPayments(t, "two payments", readPayments(t, p, now), "1", "2")
	wantPayments(t, "nothing new", readPayments(t, p, now))
	w.publish(t, event.Event{Subject: event.PaymentCreated, Payload: []byte(`{"id":"unreadable"}`)}, payment("3"))
	wantPayments(t, "behind an unreadable one", readPayments(t, p, now.Add(time.Minute)), "3")
	wantPayments(t, "an order of long ago", readPayments(t, p, time.Time{}), "1", "2", "3")
	wantPayments(t, "another of long ago, which is met every second while it cannot be cancelled", readPayments(t, p, time.Time{}))
	wantPayments(t, "an order that was made in the future", readPayments(t, listeners.NewPayments(s), now.Add(time.Hour)), "1", "2", "3")
}

// TestAPaymentThatIsNotTakenComesAgain. Case 9.1.
func TestAPaymentThatIsNotTakenComesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.Dial(t, "reader")
	until(t, "the session is connected", s.Connected)
	p := listeners.NewPayments(s)
	w.publish(t, payment("1"), payment("2"), payment("3"))
	full := errors.New("no room")
	err := p.CatchUp(t.Context(), time.Now(), func(_ context.Context, p event.Paid) error {
		if p.ID == "2" {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) {
		t.Errorf("CatchUp = %v, want the refusal", err)
	}
	wantPayments(t, "the rest", readPayments(t, p, time.Now()), "2", "3")
}

// TestPaymentsOfAChannelThatBeganAnewAreRead: the broker lost its memory and
// has other messages under the numbers that were read. Case 9.1.
func TestPaymentsOfAChannelThatBeganAnewAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.Dial(t, "reader")
	until(t, "the session is connected", s.Connected)
	p := listeners.NewPayments(s)
	w.publish(t, payment("1"))
	wantPayments(t, "before", readPayments(t, p, time.Now()), "1")
	w.Stop()
	until(t, "reading fails without the broker", func() bool {
		return p.CatchUp(t.Context(), time.Now(), func(context.Context, event.Paid) error { return nil }) != nil
	})
	w.restart(t)
	w.publish(t, payment("2"), payment("3"))
	var got []string
	until(t, "reading goes on", func() bool {
		return p.CatchUp(t.Context(), time.Now(), func(_ context.Context, p event.Paid) error {
			got = append(got, p.ID)
			return nil
		}) == nil && len(got) > 0
	})
	wantPayments(t, "after", got, "2", "3")
}
