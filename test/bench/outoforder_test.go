package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/internal/session"
	"lockstep/listeners"
	"lockstep/replica"
	"lockstep/store/sqlite"
	"lockstep/test/brokertest"
)

const (
	disorderMembers = 3
	disorderAckWait = 5 * time.Second // what the services of the bus give

	// naivePatience ends the naive listener, which may never arrive; the
	// ratio is then what it is at least.
	naivePatience = time.Minute
)

// BenchmarkOutOfOrder measures how long it takes until events are applied that
// do not come in order: because they were published so, and because three
// members of a group share one ticket. Beside it, in the same run, a naive
// listener that acknowledges a message only if it is the next one.
func BenchmarkOutOfOrder(b *testing.B) {
	for name, events := range map[string][]event.Event{
		"displaced": displaced(b, 500, 10),
		"hot":       displaced(b, 1, 500),
	} {
		b.Run(name, func(b *testing.B) {
			var ours, naive time.Duration
			var redelivered float64
			arrived := 0
			for b.Loop() {
				took, again := inOrder(b, events)
				ours += took
				redelivered += again
				took, n := naively(b, events)
				naive += took
				arrived += n
			}
			b.ReportMetric(ours.Seconds()*1000/float64(b.N), "ms")
			b.ReportMetric(redelivered, "redeliveries")
			b.ReportMetric(naive.Seconds()*1000/float64(b.N), "naive-ms")
			b.ReportMetric(100*float64(arrived)/float64(len(events)*b.N), "naive-%")
			b.ReportMetric(naive.Seconds()/ours.Seconds(), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// displaced returns the versions of all tickets in turn; of several tickets,
// one event in twenty elsewhere, up to 200 places on.
func displaced(b *testing.B, tickets, versions int) []event.Event {
	b.Helper()
	events := make([]event.Event, tickets*versions)
	for i := range events {
		events[i] = backlog(b, i, tickets)
		if events[i].Version == event.First {
			events[i].Subject = event.TicketCreated
		}
	}
	rng := rand.New(rand.NewPCG(1, 2)) // the same disorder in every run
	for i := range events {
		if tickets > 1 && rng.Float64() < 0.05 {
			j := min(i+1+rng.IntN(200), len(events)-1)
			events[i], events[j] = events[j], events[i]
		}
	}
	return events
}

// inOrder applies the events by our listeners and returns how long it took and
// how many messages the broker sent again.
func inOrder(b *testing.B, events []event.Event) (took time.Duration, redelivered float64) {
	b.Helper()
	br := brokertest.Start(b, brokertest.Stored(b.TempDir()))
	_, s := connect(b, br)
	reg := prometheus.NewRegistry()
	g := assemble(b, br, disorderMembers, len(events), listeners.Options{
		AckWait: disorderAckWait, MaxInFlight: replicaWindow, Metrics: listeners.NewMetrics(reg),
	})
	defer g.leave()
	took = g.work(b, func() { raw(b, s, events) })
	families, err := reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "delivery" && l.GetValue() == "redelivered" {
					redelivered += m.GetCounter().GetValue()
				}
			}
		}
	}
	return took, redelivered
}

// naively applies the events by listeners that acknowledge a message if it is
// the next one or was applied, and leave it to the broker to send it again
// otherwise. It returns how long it took and how many arrived.
func naively(b *testing.B, events []event.Event) (took time.Duration, applied int) {
	b.Helper()
	br := brokertest.Start(b, brokertest.Stored(b.TempDir()))
	_, publisher := connect(b, br)
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "orders.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	}()
	var left atomic.Int64
	left.Store(int64(len(events)))
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(b.Context())
	for range disorderMembers {
		s, hangUp := dial(b, br)
		defer hangUp()
		subscribeNaively(ctx, b, s, counted{replica.NewProjector(db.Replica()), &left, done})
	}
	defer cancel()
	began := time.Now()
	raw(b, publisher, events)
	patience := time.NewTimer(naivePatience)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
	return time.Since(began), len(events) - int(left.Load())
}

func subscribeNaively(ctx context.Context, b *testing.B, s *session.Session, p counted) {
	b.Helper()
	conn, err := s.Conn(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, subject := range event.TicketSubjects() {
		_, err := conn.QueueSubscribe(string(subject), "naive", func(m *stan.Msg) {
			c, err := event.Scheme{}.DecodeTicket(subject, m.Data)
			if err != nil {
				b.Error(err)
				return
			}
			outcomes, err := p.Apply(ctx, []event.TicketChange{c})
			if err != nil || outcomes[0] == event.Early {
				return
			}
			if err := m.Ack(); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		}, stan.DurableName("naive"), stan.DeliverAllAvailable(), stan.SetManualAckMode(),
			stan.AckWait(disorderAckWait), stan.MaxInflight(replicaWindow))
		if err != nil {
			b.Fatal(fmt.Errorf("subscribe to %s: %w", subject, err))
		}
	}
}
