package bench

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/store/sqlite"
	"lockstep/test/brokertest"
	"lockstep/test/spawn"
	"lockstep/ticket"
)

const (
	latencyRate    = 200 // events a second
	latencySamples = 1000
)

// BenchmarkLatency measures the time from the end of a commit to the end of
// its write in the replica, at 200 events a second, on SQLite files and a
// broker that syncs to disk.
func BenchmarkLatency(b *testing.B) {
	open := func(name string) *sqlite.DB {
		db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), name), sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := db.Close(); err != nil {
				b.Error(err)
			}
		})
		return db
	}
	writing, copies := open("tickets.db"), open("orders.db")
	latency(b, path{
		tickets: writing.Tickets(), relay: relayHere(writing.Outbox(), writing.Outbox()),
		replica: copies.Replica(), quarantine: copies.Quarantine(),
	})
}

// path is every store that an event passes, and what relays it.
type path struct {
	tickets    ticket.Store
	relay      func(b *testing.B, br *brokertest.Broker) // until the benchmark ends
	replica    replica.Store
	quarantine listeners.Quarantine
}

// relayHere runs a relay in this process.
func relayHere(store outbox.Store, leases outbox.Leases) func(*testing.B, *brokertest.Broker) {
	return func(b *testing.B, br *brokertest.Broker) {
		b.Helper()
		p, _ := connect(b, br)
		relay, err := outbox.NewRelay(store, leases, p, outbox.Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		spawn.Background(b, relay.Run)
	}
}

// latency reports the median and the 99th percentile of one path.
func latency(b *testing.B, on path) {
	b.Helper()
	br := brokertest.Start(b, brokertest.Stored(b.TempDir()))
	seen := &arrivals{Projector: replica.NewProjector(on.replica), at: map[string]time.Time{}}
	on.relay(b, br)
	s, hangUp := dial(b, br)
	defer hangUp()
	l, err := listeners.New(s, listeners.NewTickets(seen, event.Scheme{}), on.quarantine, listeners.Options{Group: "latency"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		if err := l.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	for b.Loop() {
		all := seen.expect()
		sent := pace(b, ticket.NewService(on.tickets, ticket.Options{}))
		select {
		case <-all:
		case <-time.After(time.Minute):
			b.Fatalf("not all of %d events arrived within a minute", latencySamples)
		}
		seen.report(b, sent)
	}
	b.ReportMetric(0, "ns/op") // of a run whose length is fixed; says nothing
}

// pace creates tickets at a steady rate and returns when each was committed.
func pace(b *testing.B, s *ticket.Service) map[string]time.Time {
	b.Helper()
	sent := map[string]time.Time{}
	tick := time.NewTicker(time.Second / latencyRate)
	defer tick.Stop()
	for range latencySamples {
		<-tick.C
		t, err := s.Create(b.Context(), "ann", ticket.Draft{Title: "concert", Price: 20})
		if err != nil {
			b.Fatal(err)
		}
		sent[t.ID] = time.Now()
	}
	return sent
}

// arrivals notes when the replica has a ticket.
type arrivals struct {
	*replica.Projector

	mu  sync.Mutex
	at  map[string]time.Time
	all chan struct{}
}

// expect forgets what has arrived and returns a channel that is closed when
// all has.
func (a *arrivals) expect() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.at)
	a.all = make(chan struct{})
	return a.all
}

func (a *arrivals) Apply(ctx context.Context, changes []event.TicketChange) ([]event.Outcome, error) {
	outcomes, err := a.Projector.Apply(ctx, changes)
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, o := range outcomes {
		if o == event.Applied {
			a.at[changes[i].ID] = now
		}
	}
	if len(a.at) == latencySamples {
		close(a.all)
	}
	return outcomes, err
}

func (a *arrivals) report(b *testing.B, sent map[string]time.Time) {
	b.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	var took []float64
	for id, at := range a.at {
		took = append(took, at.Sub(sent[id]).Seconds()*1000)
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "p50_ms")
	b.ReportMetric(took[len(took)*99/100], "p99_ms")
}
