package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/session"
	"lockstep/listeners"
	"lockstep/replica"
	"lockstep/store/sqlite"
	"lockstep/test/brokertest"
)

const (
	replicaEvents  = 100_000
	replicaTickets = 10_000
	replicaWindow  = 1024
)

// BenchmarkReplica measures how fast a backlog is applied: 100,000 events of
// 10,000 tickets, in order on the bus, through real listeners into the SQLite
// store. Beside it, the same messages are only received and acknowledged.
func BenchmarkReplica(b *testing.B) {
	for _, members := range []int{1, 3} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			br := brokertest.Start(b, brokertest.Stored(b.TempDir()))
			_, s := connect(b, br)
			events := make([]event.Event, replicaEvents)
			for i := range events {
				events[i] = backlog(b, i, replicaTickets)
				if events[i].Version == event.First {
					events[i].Subject = event.TicketCreated
				}
			}
			raw(b, s, events)
			var applied, received time.Duration
			for b.Loop() {
				received += receive(b, br, members)
				g := assemble(b, br, members, replicaEvents, listeners.Options{MaxInFlight: replicaWindow})
				applied += g.work(b, nil)
				g.leave()
			}
			n := float64(replicaEvents * b.N)
			b.ReportMetric(n/applied.Seconds(), "events/s")
			b.ReportMetric(n/received.Seconds(), "raw/s")
			b.ReportMetric(received.Seconds()/applied.Seconds(), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

var clients atomic.Int64

// dial returns a session that ends when the returned function is called.
func dial(b *testing.B, br *brokertest.Broker) (s *session.Session, hangUp func()) {
	b.Helper()
	s, err := session.New(session.Options{
		URL: br.URL(), ClusterID: brokertest.ClusterID, ClientID: fmt.Sprintf("member-%d", clients.Add(1)),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	if _, err := s.Conn(b.Context()); err != nil {
		b.Fatal(err)
	}
	return s, func() { cancel(); wg.Wait() }
}

// receive takes all messages as members of a new group that do nothing but
// acknowledge.
func receive(b *testing.B, br *brokertest.Broker, members int) time.Duration {
	b.Helper()
	group := fmt.Sprintf("raw-%d", clients.Add(1))
	var n atomic.Int64
	done := make(chan struct{})
	conns := make([]*session.Conn, members)
	for i := range conns {
		s, hangUp := dial(b, br)
		defer hangUp()
		conn, err := s.Conn(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		conns[i] = conn
	}
	began := time.Now()
	for _, conn := range conns {
		for _, subject := range event.TicketSubjects() {
			_, err := conn.QueueSubscribe(string(subject), group, func(m *stan.Msg) {
				if err := m.Ack(); err != nil {
					b.Error(err)
				}
				if !m.Redelivered && n.Add(1) == replicaEvents {
					close(done)
				}
			}, stan.DurableName(group), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.MaxInflight(replicaWindow))
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	<-done
	return time.Since(began)
}

// counted counts what a projector applied.
type counted struct {
	*replica.Projector
	left *atomic.Int64
	done chan struct{}
}

func (c counted) Apply(ctx context.Context, changes []event.TicketChange) ([]event.Outcome, error) {
	outcomes, err := c.Projector.Apply(ctx, changes)
	n := int64(0)
	for _, o := range outcomes {
		if o == event.Applied {
			n++
		}
	}
	if err == nil && n > 0 && c.left.Add(-n) == 0 {
		close(c.done)
	}
	return outcomes, err
}

// group is a group of listeners over one fresh store.
type group struct {
	listeners []*listeners.Listener
	done      chan struct{} // closed when n events are applied
	leave     func()        // ends all of it
	run       sync.WaitGroup
	cancel    context.CancelFunc
}

// assemble returns a group that is to apply n events.
func assemble(b *testing.B, br *brokertest.Broker, members, n int, o listeners.Options) *group {
	b.Helper()
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "orders.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	g := &group{done: make(chan struct{})}
	left := new(atomic.Int64)
	left.Store(int64(n))
	var hangUps []func()
	o.Group = fmt.Sprintf("replica-%d", clients.Add(1))
	for range members {
		s, hangUp := dial(b, br)
		hangUps = append(hangUps, hangUp)
		h := listeners.NewTickets(counted{replica.NewProjector(db.Replica()), left, g.done}, event.Scheme{})
		l, err := listeners.New(s, h, db.Quarantine(), o)
		if err != nil {
			b.Fatal(err)
		}
		g.listeners = append(g.listeners, l)
	}
	g.leave = func() {
		g.cancel()
		g.run.Wait()
		for _, hangUp := range hangUps {
			hangUp()
		}
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	}
	return g
}

// work lets the group work and returns how long it took until everything is
// applied: from its start, or from the call of publish, once all listen.
func (g *group) work(b *testing.B, publish func()) time.Duration {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	g.cancel = cancel
	began := time.Now()
	for _, l := range g.listeners {
		g.run.Go(func() {
			if err := l.Run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	if publish == nil {
		<-g.done
		return time.Since(began)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, l := range g.listeners {
		for l.Check() != nil {
			<-tick.C
		}
	}
	began = time.Now()
	publish()
	<-g.done
	return time.Since(began)
}
