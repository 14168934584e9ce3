package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"lockstep/event"
)

// writes is how many requests a crash test sends: enough for many kills.
func writes() int { return sized(2_000, 10_000) }

func TestBrokerOutage(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		before := s.create(t, "ann@example.com").id()
		s.untilReplica(t, before, 0)
		until(t, "the outbox is empty", func() bool { return s.pending(t) == 0 })

		s.broker.kill(t)
		id := ""
		for i := range 5 {
			r := s.create(t, "ann@example.com")
			if r.took > time.Second {
				t.Errorf("POST took %v without a broker, want under 1 s", r.took)
			}
			if i == 0 {
				id = r.id()
			}
		}
		for v := range 3 {
			s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{fmt.Sprint("edit ", v), 1}, http.StatusOK)
		}
		s.ticket(t, id)
		if n := s.pending(t); n != 8 {
			t.Errorf("%d events wait, want 8", n)
		}

		s.tickets.kill(t) // and the service dies on top of it
		s.tickets.start(t)
		s.broker.start(t)
		s.untilReplica(t, id, 3)
		bus := s.observe(t)
		bus.wantInOrder(t, id, 3)
		until(t, "the outbox is empty", func() bool { return s.pending(t) == 0 })
	})
}

// load writes to the tickets service from a few users until n answers are in,
// whatever dies meanwhile, and returns the version of each ticket as answered.
func (s *system) load(t *testing.T, n int) map[string]int64 {
	t.Helper()
	const writers = 4
	var mu sync.Mutex
	known := map[string]int64{}
	var wg sync.WaitGroup
	for w := range writers {
		user := fmt.Sprintf("writer%d@example.com", w)
		s.cookie(t, user)
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			var mine []string
			for done := 0; done < n/writers; {
				method, url := http.MethodPost, s.ticketsURL+"/api/tickets"
				if len(mine) > 0 && rng.IntN(4) > 0 {
					method, url = http.MethodPut, url+"/"+mine[rng.IntN(len(mine))]
				}
				r, err := s.try(t, user, method, url, draft{fmt.Sprint("write ", done), 1})
				if err != nil || r.status >= 500 {
					if t.Context().Err() != nil {
						return
					}
					pause(t, 10*time.Millisecond) // the service is down: the next try may be answered
					continue
				}
				done++
				if r.status > 201 {
					t.Errorf("%s %s = %d %s", method, url, r.status, r.raw)
					continue
				}
				if method == http.MethodPost {
					mine = append(mine, r.id())
				}
				mu.Lock()
				known[r.id()] = max(known[r.id()], r.version())
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return known
}

func pause(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// TestKillsLoseNothing kills each process at random moments while tickets are
// written, and compares what is stored with what was published and replicated.
func TestKillsLoseNothing(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		var answered map[string]int64
		whileKilling(t, []*process{s.tickets, s.orders, s.broker}, func() { answered = s.load(t, writes()) })
		s.compare(t, answered)
	})
}

// whileKilling kills and restarts the victims in turns at random moments until
// work is done.
func whileKilling(t *testing.T, victims []*process, work func()) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	stop := make(chan struct{})
	var killer sync.WaitGroup
	kills := map[string]int{}
	killer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(10+rng.IntN(150)) * time.Millisecond):
			}
			victim := victims[i%len(victims)]
			victim.kill(t)
			kills[victim.name]++
			victim.start(t)
		}
	})
	defer func() {
		close(stop)
		killer.Wait()
		t.Logf("seed %d, kills: %v", seed, kills)
	}()
	work()
}

// compare waits until all is published and replicated, and compares what was
// answered, what is stored, what is on the bus and what the replica has.
func (s *system) compare(t *testing.T, answered map[string]int64) {
	t.Helper()
	stored := s.stored(t)
	for id, v := range answered {
		if stored[id] < v {
			t.Errorf("ticket %s: version %d was answered, %d is stored", id, v, stored[id])
		}
	}
	bus := s.observe(t)
	until(t, "the outbox is empty", func() bool { return s.pending(t) == 0 })
	within(t, time.Minute, "what is stored is on the bus", func() bool {
		return missing(stored, bus.versions(event.TicketSubjects()...)) == 0
	})
	for id, versions := range bus.versions(event.TicketSubjects()...) {
		for v := range versions {
			if last, ok := stored[id]; !ok || v > last {
				t.Errorf("ticket %s: version %d is on the bus and not stored", id, v)
			}
		}
	}
	for id, v := range stored {
		s.untilReplica(t, id, v)
	}
}

// missing counts the stored versions that were not published.
func missing(stored map[string]int64, published map[string]map[int64]bool) int {
	n := 0
	for id, last := range stored {
		for v := range last + 1 {
			if !published[id][v] {
				n++
			}
		}
	}
	return n
}

// stored returns the version of every ticket that the service lists.
func (s *system) stored(t *testing.T) map[string]int64 {
	t.Helper()
	r := s.do(t, "", http.MethodGet, s.ticketsURL+"/api/tickets", nil, http.StatusOK)
	var list []struct {
		ID      string `json:"id"`
		Version int64  `json:"version"`
	}
	if err := json.Unmarshal([]byte(r.raw), &list); err != nil {
		t.Fatalf("GET /api/tickets: %v", err)
	}
	all := map[string]int64{}
	for _, i := range list {
		all[i.ID] = i.Version
	}
	return all
}

// TestStopUnderLoad: whoever stops the service while it works loses nothing.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		done := make(chan map[string]int64, 1)
		go func() { done <- s.load(t, 1_000) }()
		until(t, "the load runs", func() bool { return len(s.stored(t)) > 10 })
		for range 3 {
			s.tickets.stop(t)
			s.tickets.start(t)
			s.orders.stop(t)
			s.orders.start(t)
		}
		answered := <-done
		stored := s.stored(t)
		for id, v := range answered {
			if stored[id] != v {
				t.Errorf("ticket %s: version %d was answered, %d is stored", id, v, stored[id])
			}
		}
		for id, v := range stored {
			s.untilReplica(t, id, v)
		}
		bus := s.observe(t)
		until(t, "everything is on the bus", func() bool {
			return missing(stored, bus.versions(event.TicketSubjects()...)) == 0
		})
	})
}
