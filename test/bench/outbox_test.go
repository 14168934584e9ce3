package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/session"
	"lockstep/outbox"
	"lockstep/publishers"
	"lockstep/store/sqlite"
	"lockstep/test/brokertest"
	"lockstep/ticket"
)

// payload pads the title so that an event has the size of a real one.
var title = strings.Repeat("concert ", 25)

// backlog returns event i of a backlog that visits the tickets in turn.
func backlog(b *testing.B, i, tickets int) event.Event {
	b.Helper()
	t := event.Ticket{
		ID: fmt.Sprintf("%024x", i%tickets), Title: title, Price: 20, UserID: "e42f00000000000000000001", Version: int64(i / tickets),
	}
	e, err := t.Updated(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// backlogOf returns n events of a backlog.
func backlogOf(b *testing.B, n, tickets int) []event.Event {
	b.Helper()
	events := make([]event.Event, n)
	for i := range events {
		events[i] = backlog(b, i, tickets)
	}
	return events
}

// fill puts n events of the given number of tickets into a fresh store.
func fill(b *testing.B, n, tickets int) *sqlite.Outbox {
	b.Helper()
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "tickets.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	const batch = 5000
	for from := 0; from < n; from += batch {
		var change ticket.Change
		for i := from; i < min(from+batch, n); i++ {
			change.Events = append(change.Events, backlog(b, i, tickets))
		}
		if err := db.Tickets().Commit(b.Context(), change); err != nil {
			b.Fatal(err)
		}
	}
	return db.Outbox()
}

// connect returns a publisher on a broker with a file store, and its session.
func connect(b *testing.B, br *brokertest.Broker) (*publishers.NATS, *session.Session) {
	b.Helper()
	s, err := session.New(session.Options{URL: br.URL(), ClusterID: brokertest.ClusterID, ClientID: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	if _, err := s.Conn(b.Context()); err != nil {
		b.Fatal(err)
	}
	return publishers.New(s), s
}

// watched tells when so many events were deleted.
type watched struct {
	*sqlite.Outbox
	left atomic.Int64
	done chan struct{}
}

func watch(o *sqlite.Outbox, n int) *watched {
	w := &watched{Outbox: o, done: make(chan struct{})}
	w.left.Store(int64(n))
	return w
}

func (w *watched) Delete(ctx context.Context, refs []outbox.Ref) error {
	err := w.Outbox.Delete(ctx, refs)
	if err == nil && w.left.Add(-int64(len(refs))) == 0 {
		close(w.done)
	}
	return err
}

// drain runs a relay until everything is published and deleted, and returns
// how long that took.
func drain(b *testing.B, o *sqlite.Outbox, n int, p outbox.Publisher) time.Duration {
	b.Helper()
	store := watch(o, n)
	relay, err := outbox.NewRelay(store, o, p, outbox.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- relay.Run(ctx) }()
	select {
	case <-store.done:
	case <-time.After(10 * time.Minute):
		b.Errorf("%d of %d events are left after ten minutes", store.left.Load(), n)
	}
	took := time.Since(began)
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
	return took
}

// BenchmarkRelay drains 100,000 events of 1,000 tickets from SQLite to the
// broker, both synced to disk, until they are confirmed and deleted. ratio
// compares that with publishing the same payloads on the same broker from
// memory, by the client library alone and with the same window.
func BenchmarkRelay(b *testing.B) {
	const n, tickets = 100_000, 1000
	for b.Loop() {
		b.StopTimer()
		br := brokertest.Start(b, brokertest.Stored(b.TempDir()))
		p, s := connect(b, br)
		o := fill(b, n, tickets)
		before := raw(b, s, backlogOf(b, n, tickets))
		b.StartTimer()
		relayed := drain(b, o, n, p)
		b.StopTimer()
		limit := (before + raw(b, s, backlogOf(b, n, tickets))) / 2
		br.Stop()
		b.StartTimer()
		b.ReportMetric(float64(n)/relayed.Seconds(), "events/s")
		b.ReportMetric(float64(n)/limit.Seconds(), "raw_events/s")
		b.ReportMetric(limit.Seconds()/relayed.Seconds(), "ratio")
	}
}

// raw publishes the events with a window of 1024, in any order, and returns
// how long it took until the last was confirmed.
func raw(b *testing.B, s *session.Session, events []event.Event) time.Duration {
	b.Helper()
	conn, err := s.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	window := make(chan struct{}, 1024)
	var failed atomic.Int64
	began := time.Now()
	for _, e := range events {
		window <- struct{}{}
		conn.PublishAsync(string(e.Subject), e.Payload, func(err error) {
			if err != nil {
				failed.Add(1)
			}
			<-window
		})
	}
	for range cap(window) {
		window <- struct{}{}
	}
	if failed.Load() > 0 {
		b.Fatalf("%d raw publishes failed", failed.Load())
	}
	return time.Since(began)
}
