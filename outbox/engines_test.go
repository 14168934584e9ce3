package outbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/session"
	"lockstep/outbox"
	"lockstep/store/sqlite"
	"lockstep/test/brokertest"
	"lockstep/test/spawn"
	"lockstep/ticket"
)

func TestMain(m *testing.M) {
	spawn.Overlap(6)
	os.Exit(m.Run())
}

// This file is how tests get a real SQLite file and a real broker.

// patience bounds a wait; a soak takes longer.
func patience() time.Duration {
	if soak {
		return 10 * time.Minute
	}
	return time.Minute
}

var soak = os.Getenv("LOCKSTEP_SOAK") != ""

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
	deadline := time.After(patience())
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
			t.Fatalf("outbox after %v: %+v, want it empty", patience(), st)
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
	deadline := time.After(patience())
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
			t.Fatalf("%d of %d events arrived within %v", len(first), want, patience())
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
