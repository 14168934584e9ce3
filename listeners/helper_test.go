package listeners_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"lockstep/event"
	"lockstep/internal/session"
	"lockstep/listeners"
	"lockstep/replica"
	"lockstep/store/sqlite"
	"lockstep/test/brokertest"
	"lockstep/test/spawn"
)

func TestMain(m *testing.M) {
	spawn.Overlap(6)
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// world is a broker and a store of the orders service.
type world struct {
	*brokertest.Broker
	db      *sqlite.DB
	path    string // of the store's file
	clients atomic.Int64
	pub     stan.Conn
}

func newWorld(t testing.TB, opts ...brokertest.Option) *world {
	t.Helper()
	w := &world{Broker: brokertest.Start(t, opts...), path: filepath.Join(t.TempDir(), "orders.db")}
	db, err := sqlite.Open(t.Context(), w.path, sqlite.Options{})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	w.db = db
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return w
}

// member is a running listener with a session of its own.
type member struct {
	*listeners.Listener
	reg   *prometheus.Registry
	leave func() // ends the listener and waits
	stop  func() // ends its session too
}

type setup struct {
	handler    listeners.Handler
	quarantine listeners.Quarantine
	options    listeners.Options
	url        string
	log        io.Writer // the test's if nil
	ping       time.Duration
	narrow     bool // does not wait until the windows are wide
}

// join starts a member of the group; what is not set has a default.
func (w *world) join(t testing.TB, s setup) *member {
	t.Helper()
	if s.handler == nil {
		s.handler = listeners.NewTickets(replica.NewProjector(w.db.Replica()), event.Scheme{})
	}
	if s.quarantine == nil {
		s.quarantine = w.db.Quarantine()
	}
	if s.options.Group == "" {
		s.options.Group = listeners.OrdersService
	}
	if s.url == "" {
		s.url = w.URL()
	}
	m := &member{reg: prometheus.NewRegistry()}
	s.options.Metrics = listeners.NewMetrics(m.reg)
	if s.log == nil {
		s.log = testLog{t}
	}
	s.options.Log = slog.New(slog.NewTextHandler(s.log, nil))
	ses, err := session.New(session.Options{
		URL: s.url, ClusterID: brokertest.ClusterID, ClientID: fmt.Sprintf("member-%d", w.clients.Add(1)),
		PingInterval: max(s.ping, time.Second), PingsOut: 2,
	})
	if err != nil {
		t.Fatalf("session: %v", err)
	}
	if m.Listener, err = listeners.New(ses, s.handler, s.quarantine, s.options); err != nil {
		t.Fatalf("listener: %v", err)
	}
	sessionCtx, endSession := context.WithCancel(context.WithoutCancel(t.Context()))
	ctx, end := context.WithCancel(sessionCtx)
	var sessions, runs sync.WaitGroup
	sessions.Go(func() {
		if err := ses.Run(sessionCtx); err != nil {
			t.Errorf("session: %v", err)
		}
	})
	runs.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	m.leave = func() {
		end()
		runs.Wait()
	}
	m.stop = sync.OnceFunc(func() {
		m.leave()
		endSession()
		sessions.Wait()
	})
	t.Cleanup(m.stop)
	until(t, "the member is subscribed", func() bool { return m.Check() == nil })
	if s.narrow {
		return m
	}
	window := s.options.MaxInFlight
	if window == 0 {
		window = 1024
	}
	until(t, "its windows are wide", func() bool {
		return metric(t, "lockstep_listener_window", nil, m) == float64(window*len(s.handler.Subjects()))
	})
	return m
}

// publisher returns a connection that publishes.
func (w *world) publisher(t testing.TB) stan.Conn {
	t.Helper()
	sc, err := stan.Connect(brokertest.ClusterID, fmt.Sprintf("publisher-%d", w.clients.Add(1)), stan.NatsURL(w.URL()))
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = sc.Close() }) // the broker may be gone by then
	return sc
}

// publish puts events on the bus in their order and waits until all are there.
func (w *world) publish(t testing.TB, events ...event.Event) {
	t.Helper()
	if w.pub == nil {
		w.pub = w.publisher(t)
	}
	acks := make(chan error, len(events))
	for _, e := range events {
		if _, err := w.pub.PublishAsync(string(e.Subject), e.Payload, func(_ string, err error) { acks <- err }); err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
	for range events {
		if err := <-acks; err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
}

// restart restarts the broker. Whoever publishes connects anew.
func (w *world) restart(t *testing.T) {
	t.Helper()
	w.pub = nil
	w.Restart()
}

func ticketID(n int) string { return fmt.Sprintf("%024x", n) }

// ticket returns the event that announces a version of a ticket.
func ticket(id string, version int64) event.Event {
	t := event.Ticket{ID: id, Title: fmt.Sprintf("title %d", version), Price: float64(version) + 1, UserID: "u", Version: version}
	build := t.Updated
	if version == 0 {
		build = t.Created
	}
	e, err := build(time.Unix(0, 0))
	if err != nil {
		panic(err) // plain strings and numbers always encode
	}
	return e
}

// version returns what the replica holds of id.
func (w *world) version(t testing.TB, id string) int64 {
	t.Helper()
	versions, err := w.db.Replica().Versions(t.Context(), []string{id})
	if err != nil {
		t.Fatalf("versions: %v", err)
	}
	if v, ok := versions[id]; ok {
		return v
	}
	return event.None
}

// settled waits until every ticket from 0 to n-1 has the version.
func (w *world) settled(t testing.TB, n int, version int64) {
	t.Helper()
	until(t, fmt.Sprintf("%d tickets have version %d", n, version), func() bool {
		rows, err := w.db.Replica().Page(t.Context(), "", n+1)
		if err != nil {
			t.Fatalf("page: %v", err)
		}
		if len(rows) != n {
			return false
		}
		for _, r := range rows {
			if r.Version > version || r.Title != fmt.Sprintf("title %d", r.Version) {
				t.Fatalf("row %+v was never published", r)
			}
			if r.Version != version {
				return false
			}
		}
		return true
	})
}

// metric returns the sum of a metric over the given members, of those label
// values that are named.
func metric(t testing.TB, name string, labels map[string]string, members ...*member) float64 {
	t.Helper()
	sum := 0.0
	for _, m := range members {
		families, err := m.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
			for _, s := range f.GetMetric() {
				match := true
				for _, l := range s.GetLabel() {
					if want, ok := labels[l.GetName()]; ok && want != l.GetValue() {
						match = false
					}
				}
				if match {
					sum += s.GetCounter().GetValue() + s.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

// until polls for what nobody signals.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s until %s", patience, what)
		}
	}
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(string(p))
	return len(p), nil
}
