package listeners_test

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/test/brokertest"
)

// foreign changes the store as another program.
func (w *world) foreign(t *testing.T, statement string) {
	t.Helper()
	other, err := sql.Open("sqlite", "file:"+w.path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// Cases 10.5 and 10.7: a mark that another program spoiled, while the service
// stood or under it, stops nothing, and hides nothing that was missed.
func TestAMarkThatCannotBeReadIsBegunAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.beside(t)
	var found, elsewhere losses
	m := w.join(t, w.watching(&found))
	w.history(t, ticketID(0), 5)
	w.settled(t, 1, 5)
	m.stop()
	m = other.join(t, other.watching(&elsewhere))
	w.publish(t, ticket(ticketID(1), 0), ticket(ticketID(1), 1))
	other.reaches(t, ticketID(1), 1)
	m.stop()
	w.foreign(t, "UPDATE marks SET sequence = 'dear'")
	w.join(t, w.watching(&found))
	w.reaches(t, ticketID(1), 1)
	until(t, "the mark is whole", func() bool { return w.mark(t).Sequence == 6 })
	w.foreign(t, "UPDATE marks SET beyond = '?'")
	w.publish(t, ticket(ticketID(1), 2))
	w.reaches(t, ticketID(1), 2)
	until(t, "the mark is whole again", func() bool { return w.mark(t).Sequence == 7 })
	if all := found.of(); len(all) != 1 || all[0].Cause != listeners.Elsewhere || all[0].From != 6 || all[0].Missing != 1 {
		t.Errorf("losses %+v, want the message that another store had", all)
	}
}

// Case 10.7: a message that is read again is in quarantine already, if its entry
// can be read or not.
func TestASpoiledEntryOfTheQuarantineStopsNoCatchingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var found losses
	s := w.watching(&found)
	s.quarantine = w.db.Quarantine()
	m := w.join(t, s)
	if err := w.publisher(t).Publish(string(event.TicketUpdated), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	until(t, "it is set aside", func() bool { return w.mark(t).Sequence == 1 })
	m.stop()
	w.foreign(t, "UPDATE quarantine SET sequence = 'dear'")
	w.foreign(t, "UPDATE marks SET sequence = 'dear'")
	w.join(t, s)
	until(t, "the mark is whole", func() bool { return w.mark(t).Sequence == 1 })
	if all := found.of(); len(all) > 0 {
		t.Errorf("losses %+v, want none", all)
	}
}

// The group may be older than its marks: a Node service was in it before.
func TestAGroupThatIsOlderThanItsMarksHasLostNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.history(t, ticketID(0), 5)
	node := w.publisher(t)
	var acked atomic.Int64
	sub, err := node.QueueSubscribe(string(event.TicketUpdated), listeners.OrdersService, func(*stan.Msg) { acked.Add(1) },
		stan.DurableName(listeners.OrdersService), stan.DeliverAllAvailable())
	if err != nil {
		t.Fatal(err)
	}
	until(t, "Node has seen five", func() bool { return acked.Load() == 5 && w.pending(t, event.TicketUpdated) == 0 })
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	var found losses
	w.join(t, w.watching(&found))
	w.publish(t, ticket(ticketID(1), 0), ticket(ticketID(1), 1))
	w.reaches(t, ticketID(1), 1)
	until(t, "the mark begins where Node stopped", func() bool { return w.mark(t).Sequence == 6 })
	if len(found.of()) > 0 {
		t.Errorf("losses %v, want none", found.of())
	}
}

// unstorable fails to store a mark over a loss three times.
type unstorable struct {
	listeners.Marks
	tried atomic.Int64
}

func (u *unstorable) Store(ctx context.Context, m listeners.Mark) (bool, error) {
	if m.Lost > 0 && u.tried.Add(1) <= 3 {
		return false, errors.New("the disk is full")
	}
	return u.Marks.Store(ctx, m)
}

// Case 10.23: a loss whose mark cannot be stored is reported once.
func TestALossIsCountedOnceHoweverOftenItsMarkIsStored(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testing.T, *world){
		"truncated":  func(t *testing.T, w *world) { w.history(t, ticketID(1), 40) },
		"renumbered": func(t *testing.T, w *world) { w.restart(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, brokertest.MaxMessages(20))
			marks := &unstorable{Marks: w.db.Marks()}
			var found losses
			s := w.watchingWith(&found, marks, time.Hour)
			m := w.join(t, s)
			w.history(t, ticketID(0), 10)
			w.settled(t, 1, 10)
			m.stop()
			lose(t, w)
			w.join(t, s)
			if n := len(found.of()); n != 1 || marks.tried.Load() < 4 {
				t.Errorf("%d reports of one loss whose mark was tried %d times, want 1 of 4", n, marks.tried.Load())
			}
		})
	}
}

// Case 11.10: what nobody accounts for reads 0 before it was looked for, which is as
// soon as a listener is subscribed, and what it was once the broker is gone.
func TestWhatNobodyAccountsForIsUnknownWithoutTheBroker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	s := w.watching(&losses{})
	s.options.Losses = listeners.NewLosses(w.db.Marks(), listeners.LossOptions{
		Group: listeners.OrdersService, Subjects: event.TicketSubjects(), Every: time.Hour, Alone: true, Registerer: reg,
	})
	shows := func(what string, want float64) {
		t.Helper()
		until(t, what, func() bool {
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					got := m.GetGauge().GetValue()
					if f.GetName() == "lockstep_listener_unaccounted_messages" && got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
						return false
					}
				}
			}
			return true
		})
	}
	shows("nobody knows at first", math.NaN())
	w.join(t, s)
	shows("nothing is missing", 0)
	w.Stop()
	shows("nobody knows without the broker", math.NaN())
}
