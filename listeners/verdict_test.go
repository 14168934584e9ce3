package listeners_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/replica"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	const id = "000000000000000000000001"
	gone, err := event.Ticket{ID: id, Version: 1}.Deleted(time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	other := ticket(id, 1)
	other.Payload = []byte(`{"id":"000000000000000000000001","version":1}`)
	tests := map[string]struct {
		before  []event.Event
		event   event.Event
		outcome string
		stored  int64
		unacked float64
	}{
		"the first version on nothing":   {nil, ticket(id, 0), "applied", 0, 0},
		"the next version":               {[]event.Event{ticket(id, 0)}, ticket(id, 1), "applied", 1, 0},
		"the same again":                 {[]event.Event{ticket(id, 0)}, ticket(id, 0), "duplicate", 0, 0},
		"one that was overtaken":         {[]event.Event{ticket(id, 0), ticket(id, 1), ticket(id, 2)}, ticket(id, 1), "duplicate", 2, 0},
		"one after a gap":                {[]event.Event{ticket(id, 0)}, ticket(id, 2), "held", 0, 1},
		"an update before the creation":  {nil, ticket(id, 1), "held", event.None, 1},
		"the deletion":                   {[]event.Event{ticket(id, 0)}, gone, "applied", 1, 0},
		"one after the deletion":         {[]event.Event{ticket(id, 0), gone}, ticket(id, 1), "duplicate", 1, 0},
		"one that breaks the contract":   {nil, other, "quarantined", event.None, 0},
		"the creation with version 1":    {nil, event.Event{Subject: event.TicketCreated, Payload: ticket(id, 1).Payload}, "quarantined", event.None, 0},
		"something that is not JSON":     {nil, event.Event{Subject: event.TicketUpdated, Payload: []byte("{")}, "quarantined", event.None, 0},
		"an empty message":               {nil, event.Event{Subject: event.TicketDeleted}, "quarantined", event.None, 0},
		"one with more than is accepted": {nil, event.Event{Subject: event.TicketUpdated, Payload: oversized(id)}, "quarantined", event.None, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.join(t, setup{})
			for _, e := range tc.before { // the channels have no mutual order
				w.publish(t, e)
				until(t, "what comes before is applied", func() bool { return w.version(t, id) == e.Version })
			}
			counted := map[string]string{"outcome": tc.outcome, "subject": string(tc.event.Subject)}
			was := metric(t, "lockstep_listener_messages_total", counted, m)
			w.publish(t, tc.event)
			until(t, "the outcome is counted", func() bool { return metric(t, "lockstep_listener_messages_total", counted, m) == was+1 })
			if got := w.version(t, id); got != tc.stored {
				t.Errorf("stored version %d, want %d", got, tc.stored)
			}
			until(t, "the broker knows of the ack, or of none", func() bool { return w.pending(t, tc.event.Subject) == tc.unacked })
		})
	}
}

func oversized(id string) []byte {
	pad := slices.Repeat([]byte{' '}, event.MaxPayload)
	return append(pad, ticket(id, 1).Payload...)
}

// pending returns how many messages of a channel the broker counts as
// delivered and not acknowledged, once that has come to rest.
func (w *world) pending(t *testing.T, subject event.Subject) float64 {
	t.Helper()
	m, err := listeners.NewMonitor(w.MonitorURL(), "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := m.ChannelInfo(t.Context(), subject)
	if err != nil {
		t.Fatalf("channel %s: %v", subject, err)
	}
	return float64(info.Lag(listeners.OrdersService))
}

// gate is a projector that waits before it applies, or fails.
type gate struct {
	listeners.Projector
	entered chan struct{} // receives when Apply is called
	open    chan struct{} // Apply goes on when closed
	failing atomic.Bool
}

var errDown = errors.New("the store is down")

func (g *gate) Apply(ctx context.Context, changes []event.TicketChange) ([]event.Outcome, error) {
	if g.failing.Load() {
		return nil, errDown
	}
	select {
	case g.entered <- struct{}{}:
	default:
	}
	select {
	case <-g.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.Projector.Apply(ctx, changes)
}

func (w *world) gate() *gate {
	return &gate{Projector: replica.NewProjector(w.db.Replica()), entered: make(chan struct{}, 1), open: make(chan struct{})}
}

func TestNothingIsAcknowledgedBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate()
	w.join(t, setup{handler: listeners.NewTickets(g, event.Scheme{})})
	w.publish(t, ticket(ticketID(1), 0))
	<-g.entered
	if n := w.pending(t, event.TicketCreated); n != 1 {
		t.Errorf("%v messages unacknowledged while the store works, want 1", n)
	}
	close(g.open)
	until(t, "it is acknowledged", func() bool { return w.pending(t, event.TicketCreated) == 0 })
	if w.version(t, ticketID(1)) != 0 {
		t.Error("acknowledged and not stored")
	}
}

func TestAStoreThatFailsLosesNothingAndIsTriedAgainBeforeRedelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate()
	close(g.open)
	g.failing.Store(true)
	m := w.join(t, setup{
		handler: listeners.NewTickets(g, event.Scheme{}),
		options: listeners.Options{AckWait: time.Minute, HoldFor: time.Nanosecond},
	})
	w.publish(t, history(10, 3)...)
	until(t, "errors are counted", func() bool {
		return metric(t, "lockstep_listener_messages_total", map[string]string{"outcome": "error"}, m) > 30
	})
	if held := m.Held(); len(held) == 0 || held[0].Error == "" {
		t.Errorf("held messages %+v, want them with the error", held)
	}
	g.failing.Store(false)
	w.settled(t, 10, 2)
	inOrder(t, []*member{m})
	if n, err := w.db.Quarantine().Count(t.Context()); n != 0 || err != nil {
		t.Errorf("%d messages in quarantine (%v), want none for a failing store", n, err)
	}
}

// switched is a quarantine that can fail.
type switched struct {
	listeners.Quarantine
	failing atomic.Bool
}

func (q *switched) Put(ctx context.Context, e []listeners.Quarantined) error {
	if q.failing.Load() {
		return errDown
	}
	return q.Quarantine.Put(ctx, e)
}

func TestPoisonIsKeptWithItsReasonBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := &switched{Quarantine: w.db.Quarantine()}
	q.failing.Store(true)
	m := w.join(t, setup{quarantine: q})
	poison := event.Event{Subject: event.TicketUpdated, Payload: []byte(`{"id":"a","version":-1}`)}
	w.publish(t, poison)
	until(t, "an error is counted", func() bool {
		return metric(t, "lockstep_listener_messages_total", map[string]string{"outcome": "error"}, m) > 1
	})
	if n := w.pending(t, event.TicketUpdated); n != 1 {
		t.Errorf("%v messages unacknowledged while the quarantine fails, want 1", n)
	}
	w.publish(t, ticket(ticketID(1), 0)) // others are not kept from coming
	until(t, "another ticket is applied", func() bool { return w.version(t, ticketID(1)) == 0 })
	q.failing.Store(false)
	until(t, "it is acknowledged", func() bool { return w.pending(t, event.TicketUpdated) == 0 })
	id := listeners.QuarantineID(listeners.OrdersService, event.TicketUpdated, poison.Payload)
	entry, err := q.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("not in quarantine: %v", err)
	}
	got := []listeners.Quarantined{entry}
	if got[0].Detail == "" || time.Since(got[0].At) > time.Minute {
		t.Errorf("entry %+v lacks why or when", got[0])
	}
	want := listeners.Quarantined{
		ID:    id,
		Group: listeners.OrdersService, Subject: event.TicketUpdated, Sequence: 1, Payload: poison.Payload,
		Reason: listeners.Undecodable, Detail: got[0].Detail, At: got[0].At,
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	if n := metric(t, "lockstep_listener_quarantined", nil, m); n != 1 {
		t.Errorf("gauge of the quarantine shows %v, want 1", n)
	}
}

// watched is a quarantine that counts the payloads that are read.
type watched struct {
	listeners.Quarantine
	sweeps, payloads atomic.Int64
}

func (q *watched) Waiting(ctx context.Context, group, after string, limit int) ([]listeners.Quarantined, error) {
	found, err := q.Quarantine.Waiting(ctx, group, after, limit)
	q.sweeps.Add(1)
	q.payloads.Add(int64(len(found)))
	return found, err
}

// Case 10.13: every listener reads all that is unreadable with payloads every
// 5 s, and logs a line for each.
func TestWhatCannotBeAppliedIsReadByNobodyAndLoggedAsAFlood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := &watched{Quarantine: w.db.Quarantine()}
	log := &lines{}
	const n = 2000
	var flood []event.Event
	for i := range n {
		flood = append(flood, event.Event{Subject: event.TicketUpdated, Payload: fmt.Appendf(nil, "{%d", i)})
	}
	w.join(t, setup{quarantine: q, log: log})
	w.publish(t, flood...)
	until(t, "all is set aside", func() bool { return w.pending(t, event.TicketUpdated) == 0 })
	until(t, "a sweep has passed", func() bool { return q.sweeps.Load() > 0 })
	if got := q.payloads.Load(); got != 0 {
		t.Errorf("%d payloads read of what cannot be applied, want none", got)
	}
	if got := log.n.Load(); got > 20 {
		t.Errorf("%d lines in the log for %d messages, want a few", got, n)
	}
}

// lines counts what is written to a log.
type lines struct{ n atomic.Int64 }

func (l *lines) Write(p []byte) (int, error) {
	l.n.Add(1)
	return len(p), nil
}
