package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// TestEditsAgainstEachOther: of ten edits of one ticket at the same moment
// those that are told so have happened, each with a version of its own.
func TestEditsAgainstEachOther(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		bus := s.observe(t)
		for range 5 {
			id := s.create(t, "ann@example.com").id()
			var mu sync.Mutex
			done := map[int64]bool{}
			var edits sync.WaitGroup
			for i := range 10 {
				edits.Go(func() {
					r, err := s.try(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{fmt.Sprint(i), 1})
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err != nil:
						t.Error(err)
					case r.status == http.StatusOK && !done[r.version()]:
						done[r.version()] = true
					case r.status != http.StatusConflict:
						t.Errorf("edit answered %d %s", r.status, r.raw)
					}
				})
			}
			edits.Wait()
			last := s.ticket(t, id).version()
			if int64(len(done)) != last || last < 1 {
				t.Errorf("%d edits were accepted, the ticket is at version %d", len(done), last)
			}
			bus.wantInOrder(t, id, last)
		}
	})
}

// TestEditsAgainstLocks: an edit and a lock come at the same moment, a hundred
// times. Every ticket ends locked; an edit came before the lock or was refused.
func TestEditsAgainstLocks(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		bus := s.observe(t)
		edited := 0
		for i := range 100 {
			id, order := s.create(t, "ann@example.com").id(), objectid.New()
			said := make(chan error, 1)
			go func() { said <- bus.conn.Publish(string(event.OrderCreated), []byte(orderCreated(order, id))) }()
			if i%2 == 1 { // on its way to the service, if not there
				said <- <-said
			}
			r, err := s.try(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{"edited", 2})
			if err := <-said; err != nil {
				t.Fatal(err)
			}
			want := int64(1) // the lock alone
			switch {
			case err != nil:
				t.Fatal(err)
			case r.status == http.StatusOK:
				edited++
				want++
			case r.status != http.StatusBadRequest || strings.TrimSpace(r.raw) != reserved:
				t.Errorf("edit answered %d %s", r.status, r.raw)
			}
			until(t, "the ticket is locked", func() bool { return s.ticket(t, id).body["orderId"] == order })
			got := s.ticket(t, id)
			if got.version() != want || (got.body["title"] == "edited") != (r.status == http.StatusOK) {
				t.Errorf("edit answered %d, and the ticket is %s, want version %d", r.status, got.raw, want)
			}
			bus.wantInOrder(t, id, want)
		}
		t.Logf("%d of 100 edits came before the lock", edited)
	})
}
