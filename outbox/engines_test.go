package outbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/broker/brokertest"
	"lockstep/internal/session"
	"lockstep/outbox"
	"lockstep/publishers"
	"lockstep/store/sqlite"
	"lockstep/ticket"
)

// The tests of this file run the relay on a real SQLite file and a real
// broker.

const patience = 60 * time.Second

func open(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tickets.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// commit writes updates of the given versions for every ticket, in one change
// per version.
func commit(t *testing.T, db *sqlite.DB, tickets, from, to int) {
	t.Helper()
	for v := from; v < to; v++ {
		var c ticket.Change
		for k := range tickets {
			e, err := event.Ticket{ID: fmt.Sprint("k", k), Title: "concert", Price: 20, UserID: "u", Version: int64(v)}.Updated(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			c.Events = append(c.Events, e)
		}
		if err := db.Tickets().Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// dial connects to a broker until the test ends.
func dial(t *testing.T, url, client string) *session.Session {
	t.Helper()
	s, err := session.New(session.Options{URL: url, ClusterID: brokertest.ClusterID, ClientID: client})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// relay runs a relay on real engines until the returned function is called.
func relay(t *testing.T, store outbox.Store, leases outbox.Leases, p outbox.Publisher, opts outbox.Options) (stop func()) {
	t.Helper()
	opts.Log = slog.New(slog.DiscardHandler)
	r, err := outbox.NewRelay(store, leases, p, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil after a stop", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// drained waits until nothing waits in the outbox.
func drained(t *testing.T, o *sqlite.Outbox) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		st, err := o.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Pending == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("outbox after %v: %+v, want it empty", patience, st)
		}
	}
}

// history reads the channel from its beginning until so many different events
// have come, and returns all in the order of their arrival. Repetitions must
// have the very same bytes.
func history(t *testing.T, s *session.Session, want int) []event.Ticket {
	t.Helper()
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	messages := make(chan *stan.Msg, 1<<16)
	sub, err := conn.Subscribe(string(event.TicketUpdated), func(m *stan.Msg) { messages <- m }, stan.DeliverAllAvailable())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	var all []event.Ticket
	first := map[string][]byte{}
	deadline := time.After(patience)
	for len(first) < want {
		select {
		case m := <-messages:
			var e event.Ticket
			if err := json.Unmarshal(m.Data, &e); err != nil {
				t.Fatal(err)
			}
			id := fmt.Sprint(e.ID, ":", e.Version)
			if first[id] == nil {
				first[id] = m.Data
			} else if !bytes.Equal(first[id], m.Data) {
				t.Errorf("%s was published as %s and then as %s, want the very same bytes", id, first[id], m.Data)
			}
			all = append(all, e)
		case <-deadline:
			t.Fatalf("%d of %d events arrived within %v", len(first), want, patience)
		}
	}
	return all
}

// inOrder fails unless each ticket's versions came first in order: only
// versions that came before may be repeated.
func inOrder(t *testing.T, all []event.Ticket) (repeated int) {
	t.Helper()
	next := map[string]int64{}
	for _, c := range all {
		switch {
		case c.Version > next[c.ID]:
			t.Fatalf("%s: version %d came before version %d", c.ID, c.Version, next[c.ID])
		case c.Version < next[c.ID]:
			repeated++
		default:
			next[c.ID]++
		}
	}
	return repeated
}

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

func (c crashing) Delete(ctx context.Context, ids []string) error {
	select {
	case <-c.down:
		return errCrashed
	default:
		return c.Outbox.Delete(ctx, ids)
	}
}

func (c crashing) Release(context.Context, outbox.Lease) error { return errCrashed }

func TestAKillBetweenConfirmationAndDeleteRepeatsTheSameBytes(t *testing.T) {
	t.Parallel()
	db, b := open(t), brokertest.Start(t)
	s := dial(t, b.URL(), "relay")
	store := crashing{db.Outbox(), make(chan struct{})}
	close(store.down)
	commit(t, db, 50, 0, 4)
	stop := relay(t, store, store, publishers.New(s), outbox.Options{LeaseTTL: time.Second, StopTimeout: 100 * time.Millisecond})
	history(t, s, 200) // everything is at the broker
	stop()
	began := time.Now()
	relay(t, db.Outbox(), db.Outbox(), publishers.New(s), outbox.Options{LeaseTTL: time.Second})
	drained(t, db.Outbox())
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the next relay was done %v after the kill, want about the lease's second", took)
	}
	conn := dial(t, b.URL(), "reader")
	commit(t, db, 1, 4, 5)
	if repeated := inOrder(t, history(t, conn, 201)); repeated != 200 {
		t.Errorf("%d events were repeated, want all 200 that were not deleted", repeated)
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
	tickets, versions := 200, 10
	if os.Getenv("LOCKSTEP_SOAK") != "" {
		tickets, versions = 1000, 100
	}
	db, b := open(t), brokertest.Start(t)
	s := dial(t, b.URL(), "relay")
	commit(t, db, tickets, 0, versions/2)
	relay(t, db.Outbox(), db.Outbox(), moody{publishers.New(s)}, outbox.Options{
		RetryInterval: 20 * time.Millisecond, MemoryLimit: 1000, PerKey: 4, Window: 64,
		Backoff: outbox.Backoff{Base: 10 * time.Millisecond, Cap: 100 * time.Millisecond},
	})
	commit(t, db, tickets, versions/2, versions)
	drained(t, db.Outbox())
	inOrder(t, history(t, s, tickets*versions))
}
