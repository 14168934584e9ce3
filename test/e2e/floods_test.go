package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// What a service is held to live in, and what its Go runtime is told for it.
const floodGo = "GOMEMLIMIT=160MiB"

func floodMemory() int { return sized(200<<20, 256<<20) }

// padding makes a message nearly as large as one may be.
var padding = strings.Repeat("x", 900_000)

// mass is a flood of messages on one subject.
type mass struct {
	subject event.Subject
	n       int
	message func(i int) string
}

func massID(i int) string { return fmt.Sprintf("%024x", 1<<40+i) }

// massOf is n events of one version, each of a ticket of its own.
func massOf(n int, version int64, padding string) mass {
	subject, _ := foreign("", version)
	return mass{subject, n, func(i int) string {
		return fmt.Sprintf(`{"id":%q,"version":%d,"title":"t","price":1,"userId":"u","padding":%q}`, massID(i), version, padding)
	}}
}

// part returns the messages from one on to before another.
func (f mass) part(from, to int) mass {
	return mass{f.subject, to - from, func(i int) string { return f.message(from + i) }}
}

// publish puts the flood on the bus, few messages at a time if they are large.
func (f mass) publish(t *testing.T, bus *observer) {
	t.Helper()
	together := max(1, min(500, 8<<20/len(f.message(0))))
	for i := 0; i < f.n; i += together {
		var all []said
		for j := i; j < min(f.n, i+together); j++ {
			all = append(all, said{f.subject, f.message(j)})
		}
		bus.sayAll(t, all)
	}
}

// apart is an event that has nothing to do with the flood it was published in.
type apart struct {
	id     string
	behind float64       // messages of the flood before it
	after  time.Duration // from when they had been received to when it was applied
}

// versionOn returns the first version of a ticket whose event is on a subject.
func versionOn(subject event.Subject) int64 {
	if subject == event.TicketUpdated {
		return 1
	}
	return 0
}

// awaited returns a ticket whose next event will be on the flood's channel.
func (s *system) awaited(t *testing.T, bus *observer, f mass) string {
	t.Helper()
	id := objectid.New()
	for v := range versionOn(f.subject) {
		subject, payload := foreign(id, v)
		bus.say(t, subject, payload)
		within(t, time.Minute, "the ticket is known", func() bool { return s.replica(t, id).status == http.StatusOK })
	}
	return id
}

// sayApart publishes the next event of a ticket, behind so many messages that
// orders receives, and begins to look for it.
func (s *system) sayApart(t *testing.T, bus *observer, f mass, id string, behind int) <-chan apart {
	t.Helper()
	a := apart{id: id, behind: float64(behind)}
	version := versionOn(f.subject)
	subject, payload := foreign(id, version)
	bus.say(t, subject, payload)
	found := make(chan apart, 1)
	go func() {
		defer close(found)
		var received time.Time
		for t.Context().Err() == nil {
			if received.IsZero() && s.orders.sum(t, `lockstep_listener_received_total{delivery="first"`) >= a.behind {
				received = time.Now()
			}
			if r, err := s.try(t, "", http.MethodGet, s.ordersOps+"/ops/replica/tickets/"+id, nil); err == nil && r.status == http.StatusOK && r.version() == version {
				if !received.IsZero() {
					a.after = time.Since(received)
				}
				found <- a
				return
			}
			pause(t, 200*time.Millisecond) // what is measured are seconds, and a look at the metrics takes its time too
		}
	}()
	return found
}

// through sends a flood with one event in the middle of it and one behind it, on
// its channel, and returns how long it took from the first message on until that was applied.
func (s *system) through(t *testing.T, bus *observer, f mass) time.Duration {
	t.Helper()
	inside, last := s.awaited(t, bus, f), s.awaited(t, bus, f)
	before := int(s.orders.sum(t, `lockstep_listener_received_total{delivery="first"`))
	began := time.Now()
	f.part(0, f.n/2).publish(t, bus)
	beside := s.sayApart(t, bus, f, inside, before+f.n/2)
	f.part(f.n/2, f.n).publish(t, bus)
	published := time.Since(began)
	behind := s.sayApart(t, bus, f, last, before+f.n+1)
	within(t, 10*time.Minute, "the event behind the flood is applied", func() bool { return len(behind) > 0 })
	took := time.Since(began)
	a := <-beside
	t.Logf("%d messages: published in %v; the event beside them applied %v after they were received, the one behind them after %v",
		f.n, published.Round(time.Millisecond), a.after.Round(time.Millisecond), took.Round(time.Millisecond))
	if a.after > 5*time.Second {
		t.Errorf("the event beside the flood was applied %v after the messages before it were received, want 5 s", a.after)
	}
	return took
}

// TestOrdersLiveThroughFloods: in each of them the orders service keeps under
// 256 MB, an event beside the flood is applied within 5 s, and one behind it at
// no less than a quarter of the rate of good events. Cases 11.3 and 11.4.
func TestOrdersLiveThroughFloods(t *testing.T) {
	for name, f := range map[string]mass{
		"large early events":  massOf(sized(150, 2_500), 7, padding),
		"small early events":  massOf(sized(10_000, 1_000_000), 7, ""),
		"unreadable messages": {event.TicketUpdated, sized(10_000, 500_000), func(i int) string { return fmt.Sprintf("{%d", i) }},
	} {
		t.Run(name, func(t *testing.T) {
			onlyLargeWithoutSoak(t, name)
			onMongoDBInSoaks(t, func(t *testing.T, e engine) {
				s := newSystem(t, e, floodGo, "QUARANTINE_LIMIT=2000000") // all of it fits
				bus := s.observeNothing(t)
				usual := s.through(t, bus, massOf(f.n, 0, strings.Repeat("x", max(0, len(f.message(0))-100))))
				s.orders.kept(t, "good events of that size")
				s.orders.Env = append(s.orders.Env, "CANONICAL_URL=") // its owner does not have these tickets, and would be asked for each
				s.orders.restart(t)
				flooded := s.through(t, bus, f)
				s.orders.kept(t, "the flood")
				if bound := max(4*usual, 30*time.Second); flooded > bound {
					t.Errorf("the event behind the flood was applied after %v, want %v: good ones took %v", flooded, bound, usual)
				}
			})
		})
	}
}

// TestTicketsLiveThroughFloods: reservations of tickets that nobody knows, large
// and small, and what cannot be read. A real one among them locks its ticket.
// Cases 11.3 and 11.4.
func TestTicketsLiveThroughFloods(t *testing.T) {
	reservation := func(padding string) func(i int) string {
		return func(i int) string {
			return fmt.Sprintf(`{"id":%q,"version":0,"status":"created","userId":"u","expiresAt":"2030-01-01T00:00:00.000Z",`+
				`"ticket":{"id":%q,"price":1},"padding":%q}`, massID(i), massID(i), padding)
		}
	}
	for name, f := range map[string]mass{
		"large reservations of nothing": {event.OrderCreated, sized(150, 2_500), reservation(padding)},
		"small reservations of nothing": {event.OrderCreated, sized(5_000, 50_000), reservation("")},
		"unreadable messages":           {event.OrderCreated, sized(10_000, 500_000), func(i int) string { return fmt.Sprintf("{%d", i) }},
	} {
		t.Run(name, func(t *testing.T) {
			onlyLargeWithoutSoak(t, name)
			onMongoDBInSoaks(t, func(t *testing.T, e engine) {
				s := newSystem(t, e, floodGo)
				bus := s.observeNothing(t)
				f.publish(t, bus)
				ticket := s.create(t, "ann@example.com").id()
				s.untilReplica(t, ticket, 0)
				began := time.Now()
				s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": ticket}, http.StatusCreated)
				within(t, 10*time.Minute, "the ticket is locked", func() bool { return s.ticket(t, ticket).version() == 1 })
				t.Logf("%d messages: a ticket is locked %v after its reservation", f.n, time.Since(began).Round(time.Millisecond))
				s.tickets.kept(t, "the flood")
			})
		})
	}
}

// TestAnEmptyReplicaTakesABacklogOfLargeEvents: they were published while orders
// was down, and so was one that has nothing to do with them. Cases 11.2 to 11.4.
func TestAnEmptyReplicaTakesABacklogOfLargeEvents(t *testing.T) {
	n := sized(150, 2_500)
	for name, tt := range map[string]struct {
		flood mass
		rows  int // there are in the end
	}{
		"good ones":  {massOf(n, 0, padding), n + 1},
		"early ones": {massOf(n, 7, padding), 1},
	} {
		t.Run(name, func(t *testing.T) {
			onMongoDBInSoaks(t, func(t *testing.T, e engine) {
				s := newSystem(t, e, floodGo)
				bus := s.observeNothing(t)
				s.orders.stop(t)
				tt.flood.publish(t, bus)
				behind := objectid.New()
				subject, payload := foreign(behind, 0)
				bus.say(t, subject, payload)
				began := time.Now()
				s.orders.start(t)
				within(t, 10*time.Minute, "all that can be applied is", func() bool {
					r := s.do(t, "", http.MethodGet, s.ordersOps+"/ops/replica/status", nil, http.StatusOK)
					return strings.Contains(r.raw, fmt.Sprintf(`"rows":%d`, tt.rows)) && s.replica(t, behind).status == http.StatusOK
				})
				within(t, 10*time.Minute, "everything is in hand", func() bool { return s.orders.sum(t, `lockstep_listener_received_total{delivery="first"`) > float64(n) })
				t.Logf("%d large messages taken %v after the start, %v of them received again", n, time.Since(began).Round(time.Millisecond), redelivered(t, s.orders))
				s.orders.kept(t, "the backlog")
			})
		})
	}
}

// restart stops the process and starts it again.
func (p *process) restart(t *testing.T) {
	t.Helper()
	p.stop(t)
	p.start(t)
}

// kept wants that the process has kept below the memory of a small container.
func (p *process) kept(t *testing.T, through string) {
	t.Helper()
	peak := p.PeakMemory(t)
	t.Logf("%s had %d MiB at the most through %s", p.Name, peak>>20, through)
	if limit := floodMemory(); peak > limit {
		t.Errorf("%s had %d MiB through %s, want less than %d", p.Name, peak>>20, through, limit>>20)
	}
}

// onlyLargeWithoutSoak skips the floods of small messages, which listeners has
// in small, unless there is time.
func onlyLargeWithoutSoak(t *testing.T, name string) {
	t.Helper()
	if !strings.HasPrefix(name, "large") {
		inSoaks(t)
	}
}
