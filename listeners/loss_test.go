package listeners_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/replica"
	"lockstep/store/sqlite"
	"lockstep/test/brokertest"
)

// losses collects what a member reports.
type losses struct {
	mu  sync.Mutex
	all []listeners.Loss
}

func (l *losses) add(_ context.Context, loss listeners.Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, loss)
}

// of returns the losses of ticket:updated; the other channels are empty here.
func (l *losses) of() []listeners.Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []listeners.Loss
	for _, loss := range l.all {
		if loss.Channel == event.TicketUpdated {
			all = append(all, loss)
		}
	}
	return all
}

// watching is a setup that reports losses.
func (w *world) watching(l *losses) setup {
	return w.watchingWith(l, w.db.Marks(), 10*time.Millisecond)
}

func (w *world) watchingWith(l *losses, marks listeners.Marks, every time.Duration) setup {
	return setup{options: listeners.Options{
		Marks: marks, AckWait: time.Second,
		Losses: listeners.NewLosses(marks, listeners.LossOptions{
			Group: listeners.OrdersService, Subjects: event.TicketSubjects(), OnLoss: l.add, Every: every, Alone: true,
		}),
	}}
}

// history publishes a ticket and its versions 1 to n.
func (w *world) history(t *testing.T, id string, n int64) {
	t.Helper()
	var all []event.Event
	for v := range n + 1 {
		all = append(all, ticket(id, v))
	}
	w.publish(t, all...)
}

func TestMessagesPushedOutWhileNobodyListenedAreNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, brokertest.MaxMessages(20))
	var found losses
	m := w.join(t, w.watching(&found))
	w.history(t, ticketID(0), 10)
	w.settled(t, 1, 10)
	m.stop()
	for v := int64(11); v <= 60; v++ {
		w.publish(t, ticket(ticketID(0), v))
	}
	m = w.join(t, w.watching(&found))
	want := []listeners.Loss{{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 11, To: 40, Missing: 30, Cause: listeners.Truncated}}
	if diff := cmp.Diff(want, found.of()); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
	m.stop()
	w.join(t, w.watching(&found))
	if n := len(found.of()); n != 1 {
		t.Errorf("%d reports of one loss, want it told once", n)
	}
}

func TestNewReplicaOnATruncatedBusIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, brokertest.MaxMessages(5))
	w.history(t, ticketID(0), 12)
	var found losses
	w.join(t, w.watching(&found))
	want := []listeners.Loss{{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 1, To: 7, Missing: 7, Cause: listeners.Truncated}}
	if diff := cmp.Diff(want, found.of()); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
}

func TestNothingIsReportedWhenNothingWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, brokertest.Stored(t.TempDir()))
	var found losses
	m := w.join(t, w.watching(&found))
	w.history(t, ticketID(0), 10)
	w.settled(t, 1, 10)
	m.stop()
	for v := int64(11); v <= 30; v++ {
		w.publish(t, ticket(ticketID(0), v))
	}
	w.restart(t)
	w.join(t, w.watching(&found))
	w.settled(t, 1, 30)
	if diff := cmp.Diff([]listeners.Loss(nil), found.of()); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
}

// reaches waits until one ticket of several has the version.
func (w *world) reaches(t *testing.T, id string, version int64) {
	t.Helper()
	until(t, id+" gets on", func() bool { return w.version(t, id) == version })
}

// beside returns a world of the same broker with a store of its own.
func (w *world) beside(t *testing.T) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "orders.db"), sqlite.Options{})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	other := &world{Broker: w.Broker, db: db}
	other.clients.Store(1000)
	return other
}

func (w *world) mark(t *testing.T) listeners.Mark {
	t.Helper()
	m, err := w.db.Marks().Mark(t.Context(), listeners.OrdersService, event.TicketUpdated)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// overrun joins a member that is slow while a channel of 20 runs over: of 100
// updates it gets the window of 10 and the last 20.
func (w *world) overrun(t *testing.T, s setup) *member {
	t.Helper()
	slow := w.gate()
	s.handler, s.options.MaxInFlight, s.options.HoldFor = listeners.NewTickets(slow, event.Scheme{}), 10, time.Second
	m := w.join(t, s)
	for v := range int64(101) {
		w.publish(t, ticket(ticketID(0), v))
		if v == 0 {
			<-slow.entered
		}
	}
	close(slow.open)
	return m
}

// Case 10.6: a loss under a slow listener is noticed while it is connected,
// exactly, and once.
func TestAChannelThatRunsOverUnderASlowListenerIsNoticedWhileConnected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, brokertest.MaxMessages(20))
	var found losses
	m := w.overrun(t, w.watching(&found))
	// A look that comes while the channel runs over finds the first part of it.
	missing := func() (n uint64) {
		for _, l := range found.of() {
			n += l.Missing
		}
		return n
	}
	until(t, "the loss is noticed", func() bool { return missing() > 0 && w.mark(t).Sequence == 100 })
	told, lost := found.of(), missing()
	// 70, but for what a busy machine lets the listener see of them.
	if first, last := told[0], told[len(told)-1]; first.From != 11 || last.To > 80 || first.Cause != listeners.Truncated || lost < 40 || lost > 70 {
		t.Errorf("losses %+v, want those of 11 to 80", told)
	}
	m.stop()
	w.join(t, w.watching(&found))
	if got := w.mark(t); got.Lost != lost || len(found.of()) != len(told) {
		t.Errorf("%d messages lost by the mark and %d reports, want %d and %d", got.Lost, len(found.of()), lost, len(told))
	}
}

// Case 10.6: the mark never passes what was not seen, so a restart finds it
// too.
func TestALossUnderASlowListenerIsFoundAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, brokertest.MaxMessages(20))
	var found losses
	m := w.overrun(t, w.watchingWith(&found, w.db.Marks(), time.Hour))
	until(t, "the newest message is in the mark", func() bool { return w.mark(t).Last == 100 })
	m.stop()
	if got := w.mark(t); got.Sequence != 10 {
		t.Errorf("mark %+v, want it to stay below what was not seen", got)
	}
	w.join(t, w.watching(&found))
	want := []listeners.Loss{{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 11, To: 80, Missing: 70, Cause: listeners.Truncated}}
	if diff := cmp.Diff(want, found.of()); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
}

// Case 10.5: a store was restored from a backup while its group went on. What it
// missed is read from the channel, and told.
func TestARestoredStoreWhoseGroupWentOnCatchesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.history(t, ticketID(0), 3)
	old := w.beside(t) // what was restored: up to version 3
	var found losses
	m := old.join(t, old.watching(&found))
	old.settled(t, 1, 3)
	m.stop()
	row, err := old.db.Replica().Row(t.Context(), ticketID(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Replica().Write(t.Context(), []replica.Write{{From: event.None, Row: row}}); err != nil {
		t.Fatal(err)
	}
	m = w.join(t, w.watching(&losses{})) // the group goes on
	for v := int64(4); v <= 10; v++ {
		w.publish(t, ticket(ticketID(0), v))
	}
	w.publish(t, ticket(ticketID(1), 0))
	until(t, "the group has acknowledged all", func() bool { return w.pending(t, event.TicketUpdated) == 0 && w.mark(t).Last == 10 })
	m.stop()
	old.join(t, old.watching(&found))
	old.reaches(t, ticketID(0), 10)
	old.reaches(t, ticketID(1), 0)
	want := []listeners.Loss{{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 4, To: 10, Missing: 7, Cause: listeners.Elsewhere}}
	until(t, "it is told", func() bool { return len(found.of()) > 0 })
	if diff := cmp.Diff(want, found.of()); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
}

// Case 10.5: a backup is put in the place of what a listener works on, while it
// does.
func TestAStoreThatIsPutBackUnderAListenerCatchesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.history(t, ticketID(0), 10)
	var found losses
	w.join(t, w.watching(&found))
	w.settled(t, 1, 10)
	until(t, "the mark is stored", func() bool { return w.mark(t).Sequence == 10 })
	w.foreign(t, "UPDATE replica SET version = 3")
	w.foreign(t, "UPDATE marks SET sequence = 3, last = 3, sentAt = 0 WHERE channel = 'ticket:updated'")
	w.reaches(t, ticketID(0), 10)
	until(t, "it is told", func() bool { return len(found.of()) > 0 })
	want := []listeners.Loss{{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 4, To: 10, Missing: 7, Cause: listeners.Elsewhere}}
	if diff := cmp.Diff(want, found.of()); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
}

// stuck are marks of which that of ticket:created hangs, and no other can be read.
type stuck struct {
	listeners.Marks
	on atomic.Bool
}

func (s *stuck) Mark(ctx context.Context, group string, channel event.Subject) (listeners.Mark, error) {
	switch {
	case !s.on.Load():
		return s.Marks.Mark(ctx, group, channel)
	case channel == event.TicketCreated:
		<-ctx.Done()
		return listeners.Mark{}, ctx.Err()
	}
	return listeners.Mark{}, errors.New("the store is gone")
}

// Case 11.10: a look that hangs in one channel keeps no old figure of another.
func TestAChannelIsUnknownWhateverHangsInAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reg, marks := prometheus.NewRegistry(), &stuck{Marks: w.db.Marks()}
	s := w.watching(&losses{})
	s.options.Losses = listeners.NewLosses(marks, listeners.LossOptions{
		Group: listeners.OrdersService, Subjects: event.TicketSubjects(), Every: 10 * time.Millisecond, Alone: true, Registerer: reg,
	})
	w.join(t, s)
	shows := func(want float64) func() bool {
		return func() bool {
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					if got := m.GetGauge().GetValue(); f.GetName() == "lockstep_listener_unaccounted_messages" && m.GetLabel()[0].GetValue() == string(event.TicketUpdated) {
						return got == want || math.IsNaN(got) && math.IsNaN(want)
					}
				}
			}
			return false
		}
	}
	until(t, "nothing is missing", shows(0))
	marks.on.Store(true)
	until(t, "nobody knows", shows(math.NaN()))
}

// Case 10.8: two stores in one queue group, each of which gets a part. Both
// become whole, and say so.
func TestTwoStoresInOneGroupBothBecomeWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.beside(t)
	var here, there losses
	w.join(t, w.watching(&here))
	other.join(t, other.watching(&there))
	for i := range 20 {
		w.publish(t, ticket(ticketID(i), 0), ticket(ticketID(i), 1))
	}
	for i := range 20 {
		w.reaches(t, ticketID(i), 1)
		other.reaches(t, ticketID(i), 1)
	}
	for name, found := range map[string]*losses{"here": &here, "there": &there} {
		until(t, "it is told "+name, func() bool {
			all := found.of()
			return len(all) > 0 && all[0].Cause == listeners.Elsewhere
		})
	}
}

// A member that was killed leaves messages that were acknowledged and are not
// in the mark: none of them is lost.
func TestWhatAKilledMemberHadHandledIsNoLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var found losses
	m := w.join(t, w.watching(&found))
	w.history(t, ticketID(0), 10)
	w.settled(t, 1, 10)
	m.stop()
	killed := w.mark(t)
	killed.Sequence, killed.Last, killed.SentAt = 3, 0, time.Time{}
	if stored, err := w.db.Marks().Store(t.Context(), killed); err != nil || !stored {
		t.Fatalf("mark stored: %t, %v", stored, err)
	}
	w.join(t, w.watching(&found))
	until(t, "the mark is whole again", func() bool { return w.mark(t).Sequence == 10 })
	if len(found.of()) > 0 {
		t.Errorf("losses %v, want none", found.of())
	}
}
