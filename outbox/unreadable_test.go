package outbox_test

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/outbox"
)

// entries are those of a store that are no events.
type entries struct {
	there    map[string]bool
	searches int
}

func (e *entries) search(limit int) ([]outbox.Unreadable, error) {
	e.searches++
	var found []outbox.Unreadable
	for _, id := range slices.Sorted(maps.Keys(e.there)) {
		if len(found) < limit {
			found = append(found, outbox.Unreadable{ID: id})
		}
	}
	return found, nil
}

func (e *entries) still(ids []string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !e.there[id] }), nil
}

// Case 10.3: what became unreadable behind the stream's back is found in time,
// and the figure goes on when more were there than are remembered.
func TestEntriesThatNobodyNoticedAreFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := outbox.NewUnreadables(slog.New(slog.DiscardHandler))
		e := &entries{there: map[string]bool{}}
		count := func(want, searches int) {
			t.Helper()
			got, err := s.Count(e.search, e.still)
			if got != want || err != nil || e.searches != searches {
				t.Errorf("%d in %d searches, %v, want %d in %d", got, e.searches, err, want, searches)
			}
		}
		count(0, 1)
		for i := range 1500 {
			e.there[fmt.Sprintf("%04d", i)] = true
		}
		count(0, 1)
		time.Sleep(time.Minute)
		count(1000, 2)
		count(1000, 2)
		for i := range 1000 {
			delete(e.there, fmt.Sprintf("%04d", i))
		}
		count(0, 2)
		count(500, 3)
		count(500, 3)
	})
}
