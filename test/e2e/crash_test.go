package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"lockstep/event"
)

// writes is how many requests a crash test sends: enough for many kills.
func writes() int { return sized(1_000, 10_000) }

func TestBrokerOutage(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		before := s.create(t, "ann@example.com").id()
		s.untilReplica(t, before, 0)
		until(t, "the outbox is empty", func() bool { return s.pending(t) == 0 })

		s.broker.kill(t)
		first := s.create(t, "ann@example.com")
		id, quickest := first.id(), first.took
		for range 4 {
			quickest = min(quickest, s.create(t, "ann@example.com").took)
		}
		if quickest > time.Second {
			t.Errorf("no POST took less than %v without a broker, want under 1 s", quickest)
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
			unclear := map[string]bool{} // urls of edits without an answer: they may still happen
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
					unclear[url] = true
					pause(t, 10*time.Millisecond) // the service is down: the next try may be answered
					continue
				}
				done++
				if r.status == http.StatusConflict && unclear[url] {
					continue
				}
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

// TestStopUnderLoad: whoever stops the service while it works loses nothing.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
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
