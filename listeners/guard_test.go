package listeners_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/replica"
)

// broken is a projector that cannot apply the tickets of bad: whatever batch
// one of them is in fails as a whole.
type broken struct {
	listeners.Projector
	bad map[string]func() error
}

func (b broken) Apply(ctx context.Context, changes []event.TicketChange) ([]event.Outcome, error) {
	for _, c := range changes {
		if fail := b.bad[c.ID]; fail != nil {
			return nil, fail()
		}
	}
	return b.Projector.Apply(ctx, changes)
}

// gatedTickets returns a handler over p that waits, so that all that is
// published meanwhile lies in one batch.
func (w *world) gatedTickets(p listeners.Projector) (*gate, listeners.Handler) {
	g := w.gate()
	g.Projector = p
	return g, listeners.NewTickets(g, event.Scheme{})
}

// Case 10.23: one refused item fails its 512 neighbours.
func TestWhatFailsOneItemOfABatchDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	const n = 300
	for name, tc := range map[string]struct {
		fail    func() error
		outcome string
	}{
		"refused": {func() error { return event.ErrInvalid }, "quarantined"},
		"failing": {func() error { return errDown }, "error"},
		"panic":   {func() error { panic("out of range") }, "quarantined"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			bad := map[string]func() error{}
			for _, i := range []int{5, 6, 77, n - 1} {
				bad[ticketID(i)] = tc.fail
			}
			g, h := w.gatedTickets(broken{replica.NewProjector(w.db.Replica()), bad})
			m := w.join(t, setup{handler: h, options: listeners.Options{Lanes: 1, AckWait: time.Minute}})
			var events []event.Event
			for i := range n {
				events = append(events, ticket(ticketID(i), 0))
			}
			w.publish(t, events[0])
			<-g.entered // what comes meanwhile makes one batch
			w.publish(t, events[1:]...)
			close(g.open)
			w.settled(t, n-len(bad), 0)
			counted := map[string]string{"outcome": tc.outcome}
			until(t, "the bad ones are counted", func() bool { return metric(t, "lockstep_listener_messages_total", counted, m) >= 4 })
		})
	}
}

// Case 10.17: a panic in a handler or decoder kills the process, and
// redelivery repeats it.
func TestAPanicSetsTheMessageAsideAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := panicky{listeners.NewTickets(replica.NewProjector(w.db.Replica()), event.Scheme{})}
	m := w.join(t, setup{handler: h, options: listeners.Options{AckWait: time.Minute}})
	decode, apply, fine := ticketID(1), ticketID(2), ticketID(3)
	w.publish(t, ticket(decode, 0), ticket(apply, 0), ticket(fine, 0))
	until(t, "the other ticket is applied", func() bool { return w.version(t, fine) == 0 })
	until(t, "everything is acknowledged", func() bool { return metric(t, "lockstep_listener_in_flight", nil, m) == 0 })
	got, _, err := w.db.Quarantine().List(t.Context(), listeners.Filter{}, "", 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("quarantine holds %+v (%v), want two messages", got, err)
	}
	for _, q := range got {
		if q.Reason != listeners.Failing || q.Detail != "panic: boom" {
			t.Errorf("entry of reason %q and detail %q, want what panicked", q.Reason, q.Detail)
		}
	}
}

// panicky panics on tickets 1 and 2.
type panicky struct{ listeners.Handler }

func (p panicky) Decode(s event.Subject, payload []byte) (listeners.Item, error) {
	item, err := p.Handler.Decode(s, payload)
	if item.Key == ticketID(1) {
		panic("boom")
	}
	return item, err
}

func (p panicky) Handle(ctx context.Context, items []listeners.Item) []listeners.Verdict {
	if slices.ContainsFunc(items, func(i listeners.Item) bool { return i.Key == ticketID(2) }) {
		panic(errors.New("boom"))
	}
	return p.Handler.Handle(ctx, items)
}
