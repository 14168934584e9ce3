package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/outbox"
	"lockstep/publishers"
	"lockstep/store/sqlite"
	"lockstep/test/brokertest"
	"lockstep/test/spawn"
)

func TestABrokerThatGoesAwayLosesNothingAndRecordsNoFailure(t *testing.T) {
	t.Parallel()
	db, b := open(t), brokertest.Start(t, brokertest.Stored(t.TempDir()))
	s := dial(t, b.URL(), "relay")
	relay(t, db.Outbox(), db.Outbox(), publishers.New(s), outbox.Options{})
	commit(t, db, 200, 0, 20)
	b.Stop()
	commit(t, db, 200, 20, 30)
	page, err := db.Outbox().List(t.Context(), "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page {
		if r.Failures.Total > 0 || !r.Locked {
			t.Fatalf("%s is %+v, want no failure", r.ID(), r)
		}
	}
	b.Restart()
	drained(t, db.Outbox())
	inOrder(t, history(t, s, 200*30))
}

// crashing lets deletes through until told to crash: what was confirmed then
// stays in the outbox, as if the process had been killed in between.
type crashing struct {
	*sqlite.Outbox
	down chan struct{}
}

var errCrashed = errors.New("crashed")

func (c crashing) Delete(ctx context.Context, refs []outbox.Ref) error {
	select {
	case <-c.down:
		return errCrashed
	default:
		return c.Outbox.Delete(ctx, refs)
	}
}

func (c crashing) Release(context.Context, outbox.Lease) error { return errCrashed }

// Case 9.3.
func TestAKillBetweenConfirmationAndDeleteRepeatsNothing(t *testing.T) {
	t.Parallel()
	db, b := open(t), brokertest.Start(t)
	s := dial(t, b.URL(), "relay")
	store := crashing{db.Outbox(), make(chan struct{})}
	close(store.down)
	commit(t, db, 50, 0, 4)
	stop := relay(t, store, store, publishers.New(s), outbox.Options{Subjects: event.TicketSubjects(), LeaseTTL: time.Second, StopTimeout: 100 * time.Millisecond})
	history(t, s, 200) // everything is at the broker
	stop()
	began := time.Now()
	relay(t, db.Outbox(), db.Outbox(), publishers.New(s), outbox.Options{Subjects: event.TicketSubjects(), LeaseTTL: time.Second})
	drained(t, db.Outbox())
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the next relay was done %v after the kill, want about the lease's second", took)
	}
	conn := dial(t, b.URL(), "reader")
	commit(t, db, 1, 4, 5)
	if repeated := inOrder(t, history(t, conn, 201)); repeated > 0 {
		t.Errorf("%d events were published twice, want those left alone that the broker has", repeated)
	}
}

func TestTwoRelaysOnOneStoreTakeTurns(t *testing.T) {
	t.Parallel()
	db, b := open(t), brokertest.Start(t)
	s := dial(t, b.URL(), "relay")
	stop := relay(t, db.Outbox(), db.Outbox(), publishers.New(s), outbox.Options{})
	relay(t, db.Outbox(), db.Outbox(), publishers.New(s), outbox.Options{})
	commit(t, db, 100, 0, 10)
	stop()
	began := time.Now()
	commit(t, db, 100, 10, 20)
	drained(t, db.Outbox())
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the second relay was done after %v, want it to take over at once", took)
	}
	if repeated := inOrder(t, history(t, s, 2000)); repeated > 0 {
		t.Errorf("%d events were published twice, want a clean hand-over", repeated)
	}
}

// moody fails attempts by chance.
type moody struct{ outbox.Publisher }

func (m moody) Publish(e event.Event, done func(error)) {
	switch rand.IntN(40) {
	case 0:
		done(fmt.Errorf("%w: by chance", event.ErrRejected))
	case 1:
		done(fmt.Errorf("%w: by chance", event.ErrUnreachable))
	case 2:
		done(fmt.Errorf("%w: not sent", event.ErrUnconfirmed))
	case 3:
		m.Publisher.Publish(e, func(error) { done(fmt.Errorf("%w: by chance", event.ErrUnconfirmed)) })
	default:
		m.Publisher.Publish(e, done)
	}
}

func TestRandomFailuresKeepEveryKeyInOrder(t *testing.T) {
	t.Parallel()
	tickets, versions := 60, 10
	if soak {
		tickets, versions = 1000, 100
	}
	db, b := open(t), brokertest.Start(t)
	s := dial(t, b.URL(), "relay")
	commit(t, db, tickets, 0, versions/2)
	relay(t, db.Outbox(), db.Outbox(), moody{publishers.New(s)}, outbox.Options{
		Subjects:      event.TicketSubjects(),
		RetryInterval: 20 * time.Millisecond, MemoryLimit: 1000, PerKey: 4, Window: 64,
		Backoff: outbox.Backoff{Base: 10 * time.Millisecond, Cap: 100 * time.Millisecond},
	})
	commit(t, db, tickets, versions/2, versions)
	drained(t, db.Outbox())
	if repeated := inOrder(t, history(t, s, tickets*versions)); repeated > 0 {
		t.Errorf("%d events were published twice because of an answer that was lost", repeated)
	}
}

// Case 9.3: with events in flight the connection is cut, again and again.
func TestACutConnectionRepeatsNothing(t *testing.T) {
	t.Parallel()
	tickets, versions := 200, 20
	if soak {
		tickets, versions = 1000, 100
	}
	db, b := open(t), brokertest.Start(t)
	proxy := brokertest.NewProxy(t, b.URL())
	relay(t, db.Outbox(), db.Outbox(), publishers.New(dial(t, proxy.URL(), "relay")), outbox.Options{Subjects: event.TicketSubjects()})
	for v := 0; v < versions; v += 4 {
		commit(t, db, tickets, v, v+4)
		time.Sleep(rand.N(15 * time.Millisecond)) // where the events are then is up to chance
		proxy.Cut()
	}
	drained(t, db.Outbox())
	commit(t, db, 1, versions, versions+1)
	if repeated := inOrder(t, history(t, dial(t, b.URL(), "reader"), tickets*versions+1)); repeated > 0 {
		t.Errorf("%d events were published twice", repeated)
	}
}

// Case 9.3: a link that hangs until answers are overdue, and then goes on, has
// everything stored late.
func TestALinkThatHangsRepeatsNothing(t *testing.T) {
	t.Parallel()
	db, b := open(t), brokertest.Start(t)
	proxy := brokertest.NewProxy(t, b.URL())
	s := dial(t, proxy.URL(), "relay")
	registry := prometheus.NewRegistry()
	relay(t, db.Outbox(), db.Outbox(), publishers.New(s), outbox.Options{Subjects: event.TicketSubjects(), Registerer: registry})
	commit(t, db, 200, 0, 1)
	drained(t, db.Outbox())
	proxy.Freeze()
	commit(t, db, 200, 1, 4)
	spawn.Until(t, "answers are overdue", func() bool { return total(t, registry, "lockstep_outbox_publish_failures_total") > 0 })
	proxy.Thaw()
	drained(t, db.Outbox())
	if repeated := inOrder(t, history(t, dial(t, b.URL(), "reader"), 200*4)); repeated > 0 {
		t.Errorf("%d events were published twice", repeated)
	}
}
