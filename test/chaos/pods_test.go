package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/outbox"
	"lockstep/publishers"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
	"lockstep/ticket"
)

const (
	pods    = 3 // of each service
	writers = 4
)

// system is three pods of each service, on two databases of one replica set
// and on one bus.
type system struct {
	broker    *brokertest.Broker
	canonical []*mongodb.DB
	copies    []*mongodb.DB
}

func newSystem(t *testing.T, set *mongotest.Set) *system {
	t.Helper()
	s := &system{broker: brokertest.Start(t, brokertest.Stored(t.TempDir()))}
	canonical, copies := set.URI(set.Database(t)), set.URI(set.Database(t))
	for i := range pods {
		a, b := open(t, canonical), open(t, copies)
		s.canonical, s.copies = append(s.canonical, a), append(s.copies, b)
		relay, err := outbox.NewRelay(a.Outbox(), a.Outbox(), publishers.New(s.broker.Dial(t, fmt.Sprint("tickets-", i))),
			outbox.Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		spawn.Background(t, relay.Run)
		h := listeners.NewTickets(replica.NewProjector(b.Replica()), event.Scheme{})
		l, err := listeners.New(s.broker.Dial(t, fmt.Sprint("orders-", i)), h, b.Quarantine(), listeners.Options{Group: listeners.OrdersService})
		if err != nil {
			t.Fatal(err)
		}
		spawn.Background(t, l.Run)
	}
	return s
}

func open(t *testing.T, uri string) *mongodb.DB {
	t.Helper()
	db, err := mongodb.Open(t.Context(), uri, mongodb.Options{Log: slog.New(slog.DiscardHandler)})
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

// crowd writes tickets and remembers what it was told.
type crowd struct {
	mu      sync.Mutex
	told    map[string]int64 // ticket → newest version whose write was acknowledged
	acks    int
	failed  int
	last    time.Time
	longest time.Duration // without an acknowledgement
}

// work writes until ctx ends.
func (c *crowd) work(ctx context.Context, s *ticket.Service) {
	for ctx.Err() == nil {
		t, err := s.Create(context.WithoutCancel(ctx), "ann", ticket.Draft{Title: "concert", Price: 1})
		c.note(t, err)
		for edit := 0; err == nil && edit < 5; edit++ {
			t, err = s.Update(context.WithoutCancel(ctx), t.ID, "ann", ticket.Draft{Title: "concert", Price: float64(2 + edit)})
			c.note(t, err)
		}
	}
}

func (c *crowd) note(t ticket.Ticket, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed++
		return
	}
	c.told[t.ID] = t.Version
	c.acks++
	c.longest = max(c.longest, time.Since(c.last))
	c.last = time.Now()
}

func (c *crowd) sum() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks
}

// bus collects the versions of each ticket that were published.
type bus struct {
	mu   sync.Mutex
	seen map[string]map[int64]int
}

// observe listens to everything that was and will be published.
func (s *system) observe(t *testing.T) *bus {
	t.Helper()
	b := &bus{seen: map[string]map[int64]int{}}
	conn, err := stan.Connect(brokertest.ClusterID, "observer", stan.NatsURL(s.broker.URL()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, subject := range event.TicketSubjects() {
		note := func(m *stan.Msg) {
			change, err := event.Scheme{}.DecodeTicket(subject, m.Data)
			if err != nil {
				t.Errorf("on the bus: %v", err)
				return
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.seen[change.ID] == nil {
				b.seen[change.ID] = map[int64]int{}
			}
			b.seen[change.ID][change.Version]++
		}
		if _, err := conn.Subscribe(string(subject), note, stan.DeliverAllAvailable()); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// compare returns how many stored versions are not on the bus, and how many on
// the bus are not stored or came more than once.
func (b *bus) compare(stored map[string]ticket.Ticket) (missing, phantom, repeated int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, t := range stored {
		for v := range t.Version + 1 {
			if b.seen[id][v] == 0 {
				missing++
			}
		}
	}
	for id, versions := range b.seen {
		for v, n := range versions {
			if t, ok := stored[id]; !ok || v > t.Version {
				phantom++
			}
			repeated += n - 1
		}
	}
	return missing, phantom, repeated
}
