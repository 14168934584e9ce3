package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"lockstep/event"
)

// TestKillsLoseNothing kills each process at random moments while tickets are
// written, and compares what is stored with what was published and replicated.
func TestKillsLoseNothing(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
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
			kills[victim.Name]++
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
