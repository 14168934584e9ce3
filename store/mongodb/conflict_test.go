package mongodb_test

import (
	"errors"
	"sync"
	"testing"

	"lockstep/internal/objectid"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

// A condition is met by what the primary has, a read shows what a majority has.
// Whoever reads again after a conflict must not read what it read before: it
// would decide the same, and meet the same conflict, until it gives up.
func TestWhatStoodInTheWayOfAChangeIsRead(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	id := objectid.New()
	var stores []ticket.Store
	for range 3 { // processes
		stores = append(stores, open(t, set.URI(name), mongodb.Options{}).Tickets())
	}
	if err := stores[0].Commit(t.Context(), ticket.Change{Now: &ticket.Ticket{ID: id, Title: "t", Price: 1, UserID: "u"}}); err != nil {
		t.Fatal(err)
	}
	var conflicts, stale int
	var mu sync.Mutex
	var members sync.WaitGroup
	for _, s := range stores {
		for range 4 {
			members.Go(func() {
				for range 40 {
					was, err := s.Ticket(t.Context(), id)
					if err != nil {
						t.Error(err)
						return
					}
					now := was
					now.Version++
					err = s.Commit(t.Context(), ticket.Change{Was: &was, Now: &now})
					if !errors.Is(err, ticket.ErrConflict) {
						continue
					}
					seen, _ := s.Ticket(t.Context(), id)
					mu.Lock()
					conflicts++
					if seen.Version == was.Version {
						stale++
					}
					mu.Unlock()
				}
			})
		}
	}
	members.Wait()
	if stale > 0 || conflicts == 0 {
		t.Errorf("%d of %d conflicts were with what could not be read yet", stale, conflicts)
	}
}
