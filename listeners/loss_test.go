package listeners_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/listeners"
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
	return setup{options: listeners.Options{
		Marks: w.db.Marks(),
		Losses: listeners.NewLosses(w.db.Marks(), listeners.LossOptions{
			Group: listeners.OrdersService, Subjects: event.TicketSubjects(), OnLoss: l.add,
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
	want := []listeners.Loss{{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 11, To: 40, Cause: listeners.Truncated}}
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
	want := []listeners.Loss{{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 1, To: 7, Cause: listeners.Truncated}}
	if diff := cmp.Diff(want, found.of()); diff != "" {
		t.Errorf("losses (-want +got):\n%s", diff)
	}
}

func TestChannelThatBeganAnewIsNoticed(t *testing.T) {
	t.Parallel()
	for name, versions := range map[string]int64{
		"still empty": 0, "shorter than before": 3, "longer than before": 25,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t) // keeps its channels in memory
			var found losses
			m := w.join(t, w.watching(&found))
			w.history(t, ticketID(0), 10)
			w.settled(t, 1, 10)
			m.stop()
			w.restart(t)
			if versions > 0 {
				w.history(t, ticketID(1), versions)
			}
			w.join(t, w.watching(&found))
			want := []listeners.Loss{{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 11, Cause: listeners.Renumbered}}
			if diff := cmp.Diff(want, found.of()); diff != "" {
				t.Errorf("losses (-want +got):\n%s", diff)
			}
			if versions > 0 {
				w.reaches(t, ticketID(1), versions)
			}
		})
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
