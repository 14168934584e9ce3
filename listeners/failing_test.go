package listeners_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/replica"
)

// mendable is a projector that cannot apply some tickets until it is mended.
type mendable struct {
	listeners.Projector
	bad    map[string]bool
	mended atomic.Bool
}

func (m *mendable) Apply(ctx context.Context, changes []event.TicketChange) ([]event.Outcome, error) {
	for _, c := range changes {
		if m.bad[c.ID] && !m.mended.Load() {
			return nil, errDown
		}
	}
	return m.Projector.Apply(ctx, changes)
}

// Case 10.2: 16 events of a row that cannot be written, at MAX_IN_FLIGHT=16:
// 200 good tickets behind them are not applied, for ever.
func TestWhatKeepsFailingGivesWayAndIsAppliedOnceItCanBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const bad, good = 16, 200
	p := &mendable{Projector: replica.NewProjector(w.db.Replica()), bad: map[string]bool{}}
	var events []event.Event
	for i := range bad + good {
		p.bad[ticketID(i)] = i < bad
		events = append(events, ticket(ticketID(i), 0))
	}
	m := w.join(t, setup{
		handler: listeners.NewTickets(p, event.Scheme{}),
		options: listeners.Options{MaxInFlight: bad, AckWait: time.Minute},
	})
	w.publish(t, events...)
	until(t, "what is behind them is applied", func() bool { return w.version(t, ticketID(bad+good-1)) == 0 })
	if aside, held := len(w.entries(t, listeners.Failing)), len(m.Held()); aside == 0 || aside+held < bad {
		t.Errorf("%d set aside as failing and %d held, want all %d", aside, held, bad)
	}
	p.mended.Store(true)
	w.settled(t, bad+good, 0)
	until(t, "the quarantine is empty", func() bool { return len(w.entries(t, "")) == 0 })
}

// Case 10.2: it gives way also where it fills no window, once its time is up.
func TestWhatFailsWhileOthersSucceedIsSetAsideWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &mendable{Projector: replica.NewProjector(w.db.Replica()), bad: map[string]bool{ticketID(0): true}}
	w.join(t, setup{
		handler: listeners.NewTickets(p, event.Scheme{}),
		options: listeners.Options{AckWait: time.Minute, HoldFor: 100 * time.Millisecond, Lanes: 1},
	})
	w.publish(t, ticket(ticketID(0), 0), ticket(ticketID(1), 0))
	version := int64(0)
	until(t, "it is set aside", func() bool {
		version++
		w.publish(t, ticket(ticketID(1), version)) // others succeed
		return len(w.entries(t, listeners.Failing)) == 1
	})
}

// Case 10.2, its kind: what fails alone, with nobody behind it, is told.
func TestWhatFailsForSecondsIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &mendable{Projector: replica.NewProjector(w.db.Replica()), bad: map[string]bool{ticketID(0): true}}
	m := w.join(t, setup{handler: listeners.NewTickets(p, event.Scheme{}), options: listeners.Options{AckWait: time.Minute}})
	w.publish(t, ticket(ticketID(0), 0), ticket(ticketID(1), 0))
	until(t, "it is held", func() bool { return len(m.Held()) == 1 && w.version(t, ticketID(1)) == 0 })
	if err := m.Failing(); err != nil {
		t.Errorf("told at once: %v", err)
	}
	until(t, "it is told", func() bool { return errors.Is(m.Failing(), errDown) })
	if err := m.Check(); err != nil {
		t.Errorf("the listener: %v", err)
	}
	p.mended.Store(true)
	until(t, "it is over", func() bool { return m.Failing() == nil && w.version(t, ticketID(0)) == 0 })
}

func (w *world) entries(t *testing.T, reason listeners.Reason) []listeners.Quarantined {
	t.Helper()
	got, _, err := w.db.Quarantine().List(t.Context(), listeners.Filter{Reason: reason}, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// overlap is a handler that notices when it is called for one key at the same
// time.
type overlap struct {
	listeners.Handler
	mu       sync.Mutex
	within   map[string]chan struct{} // closed when somebody else comes in
	overlaps atomic.Int64
}

func (o *overlap) Handle(ctx context.Context, items []listeners.Item) []listeners.Verdict {
	for _, i := range distinct(items) {
		o.mu.Lock()
		other, inside := o.within[i.Key]
		if inside {
			o.overlaps.Add(1)
			delete(o.within, i.Key)
			close(other)
		} else {
			other = make(chan struct{})
			o.within[i.Key] = other
		}
		o.mu.Unlock()
		if inside {
			continue
		}
		stay := time.NewTimer(20 * time.Millisecond)
		select {
		case <-other:
		case <-stay.C:
		}
		stay.Stop()
		defer func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			delete(o.within, i.Key)
		}()
	}
	return o.Handler.Handle(ctx, items)
}

func distinct(items []listeners.Item) map[string]listeners.Item {
	keys := map[string]listeners.Item{}
	for _, i := range items {
		keys[i.Key] = i
	}
	return keys
}

// Case 10.18: the quarantine's sweep and the operator's retry call the handler
// beside the lane.
func TestItemsOfOneKeyAreNeverHandledAtTheSameTimeByOneMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := &overlap{Handler: listeners.NewTickets(replica.NewProjector(w.db.Replica()), event.Scheme{}), within: map[string]chan struct{}{}}
	id := ticketID(1)
	var ids []string
	var entries []listeners.Quarantined
	for v := int64(2); v < 12; v++ {
		e := ticket(id, v)
		q := listeners.Quarantined{
			ID: listeners.QuarantineID(listeners.OrdersService, e.Subject, e.Payload), Group: listeners.OrdersService, Subject: e.Subject,
			Key: id, Version: v, Predecessor: v - 1, Payload: e.Payload, Reason: listeners.TooEarly, At: time.Now(),
		}
		entries, ids = append(entries, q), append(ids, q.ID)
	}
	if err := w.db.Quarantine().Put(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	m := w.join(t, setup{handler: o})
	w.publish(t, ticket(id, 0))
	var retries sync.WaitGroup
	for _, entry := range ids {
		retries.Go(func() { _ = m.Retry(t.Context(), entry) }) // too early, applied, or gone: all the same here
	}
	w.publish(t, ticket(id, 1))
	w.settled(t, 1, 11)
	retries.Wait()
	if n := o.overlaps.Load(); n != 0 {
		t.Errorf("%d calls for one key at the same time as another, want none", n)
	}
}

// meanwhile is a quarantine in which messages come to lie just after their
// predecessor was applied elsewhere, and which no sweep looks into.
type meanwhile struct {
	listeners.Quarantine
	apply func()
}

func (m meanwhile) Put(ctx context.Context, entries []listeners.Quarantined) error {
	m.apply()
	return m.Quarantine.Put(ctx, entries)
}

func (meanwhile) Waiting(context.Context, string, string, int) ([]listeners.Quarantined, error) {
	return nil, nil
}

func TestAPredecessorThatCameMeanwhileIsNotMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	created, err := event.Scheme{}.DecodeTicket(event.TicketCreated, ticket(ticketID(1), 0).Payload)
	if err != nil {
		t.Fatal(err)
	}
	other := replica.NewProjector(w.db.Replica())
	q := meanwhile{w.db.Quarantine(), func() {
		if _, err := other.Apply(t.Context(), []event.TicketChange{created}); err != nil {
			t.Error(err)
		}
	}}
	w.join(t, setup{quarantine: q, options: hasty()})
	w.publish(t, ticket(ticketID(1), 1), ticket(ticketID(1), 2))
	w.settled(t, 1, 2)
	w.aside(t, 0)
}
