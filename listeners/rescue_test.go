package listeners_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/replica"
)

// owner answers for the canonical service.
type owner map[string]replica.Row

func (owner) OnSale(context.Context) iter.Seq2[replica.Row, error] { return nil }

func (o owner) Snapshot(_ context.Context, id string) (replica.Row, error) {
	if r, ok := o[id]; ok {
		return r, nil
	}
	return replica.Row{}, replica.ErrNotFound
}

func (owner) Page(context.Context, string, int) ([]replica.Row, error) { return nil, errDown }
func (owner) Ranges(context.Context, string, int, int) ([]replica.Range, error) {
	return nil, errDown
}

// hasty holds for a moment only.
func hasty() listeners.Options {
	return listeners.Options{AckWait: time.Minute, HoldFor: 100 * time.Millisecond}
}

func TestAGapIsRepairedFromTheOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := ticketID(1)
	o := hasty()
	o.Repairer = replica.NewRepairer(w.db.Replica(), owner{id: {ID: id, Version: 3, Title: "title 3", Price: 4}}, replica.RepairOptions{})
	m := w.join(t, setup{options: o})
	w.publish(t, ticket(id, 2), ticket(id, 3), ticket(id, 4))
	w.settled(t, 1, 4)
	inOrder(t, []*member{m})
	if n := metric(t, "lockstep_listener_rescues_total", map[string]string{"by": "repair"}, m); n != 1 {
		t.Errorf("%v repairs, want 1", n)
	}
}

// Case 11.10: the lag of what waited longest, in quarantine, was not measured.
func TestWhatRepairCannotHelpIsSetAsideAndAppliedByItselfLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := ticketID(1)
	o := hasty()
	o.Repairer = replica.NewRepairer(w.db.Replica(), owner{}, replica.RepairOptions{})
	first := w.join(t, setup{options: o})
	w.publish(t, ticket(id, 1), ticket(id, 2), ticket(id, 3))
	w.aside(t, 3)
	first.stop()
	second := w.join(t, setup{options: hasty()}) // after a restart
	w.publish(t, ticket(id, 0))
	w.settled(t, 1, 3)
	w.aside(t, 0)
	until(t, "the lag of all of them is measured", func() bool { return observed(t, "lockstep_listener_event_lag_seconds", second) == 4 })
}

func TestWhatOneMemberSetAsideIsAppliedWhenAnotherBringsThePredecessor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := ticketID(1)
	w.join(t, setup{options: hasty()})
	w.publish(t, ticket(id, 1))
	w.aside(t, 1)
	apply := replica.NewProjector(w.db.Replica())
	created, err := event.Scheme{}.DecodeTicket(event.TicketCreated, ticket(id, 0).Payload)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apply.Apply(t.Context(), []event.TicketChange{created}); err != nil {
		t.Fatal(err)
	}
	w.settled(t, 1, 1)
	w.aside(t, 0)
}

// observed returns how many observations a member's histogram has.
func observed(t *testing.T, name string, m *member) (n uint64) {
	t.Helper()
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, s := range f.GetMetric() {
			if f.GetName() == name {
				n += s.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}

// aside waits until n messages are in quarantine and none is unacknowledged.
func (w *world) aside(t *testing.T, n int) {
	t.Helper()
	until(t, "the quarantine is as it should be", func() bool {
		got, err := w.db.Quarantine().Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got == n && w.pending(t, event.TicketUpdated) == 0
	})
}

func TestAnOperatorSeesWhatWaitsAndDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.join(t, setup{})
	id := ticketID(1)
	w.publish(t, ticket(id, 0), ticket(id, 2))
	until(t, "one is held and its forerunner applied", func() bool {
		return len(m.Held()) == 1 && w.version(t, id) == 0
	})
	held := m.Held()[0]
	want := listeners.HeldMessage{Key: id, Subject: event.TicketUpdated, Version: 2, WaitsFor: 1, Deliveries: 1, Since: held.Since}
	if diff := cmp.Diff(want, held); diff != "" || time.Since(held.Since) > time.Minute {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	q := w.db.Quarantine()
	put := func(e event.Event, reason listeners.Reason, group string) string {
		entry := listeners.Quarantined{
			ID: listeners.QuarantineID(group, e.Subject, e.Payload), Group: group, Subject: e.Subject,
			Key: e.Key, Version: e.Version, Predecessor: e.Version - 1, Payload: e.Payload, Reason: reason, At: time.Now(),
		}
		if err := q.Put(t.Context(), []listeners.Quarantined{entry}); err != nil {
			t.Fatal(err)
		}
		return entry.ID
	}
	poison := put(event.Event{Subject: event.TicketUpdated, Payload: []byte("{")}, listeners.Undecodable, listeners.OrdersService)
	early := put(ticket(ticketID(2), 1), listeners.TooEarly, listeners.OrdersService)
	ready := put(ticket(id, 1), listeners.TooEarly, listeners.OrdersService)
	foreign := put(ticket(id, 1), listeners.TooEarly, listeners.TicketsService)
	discard := func(ctx context.Context, id string) error {
		entry, err := q.Get(ctx, id)
		if err != nil {
			return err
		}
		if n, err := m.Discard(ctx, []listeners.Quarantined{entry}); n != 0 || err != nil {
			return err
		}
		return listeners.ErrNotFound
	}
	for _, tc := range []struct {
		name string
		do   func(context.Context, string) error
		id   string
		want error
	}{
		{"retry of poison", m.Retry, poison, event.ErrInvalid},
		{"retry of an early message", m.Retry, early, listeners.ErrTooEarly},
		{"retry of what can be applied", m.Retry, ready, nil},
		{"retry of what was applied", m.Retry, ready, listeners.ErrNotFound},
		{"retry of another group's", m.Retry, foreign, listeners.ErrNotFound},
		{"discard of another group's", discard, foreign, listeners.ErrNotFound},
		{"discard of poison", discard, poison, nil},
		{"discard of what is not there", discard, poison, listeners.ErrNotFound},
	} {
		if err := tc.do(t.Context(), tc.id); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
	until(t, "what waited for it is applied", func() bool { return w.version(t, id) == 2 })
}
