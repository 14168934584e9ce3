package mongodb_test

import (
	"bytes"
	"sync"
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

// TestTheLargestEventsAreCommittedAndTold has writers commit events of the
// largest size at once: more than one message to the server, one document of
// the oplog or one batch of the stream can hold.
func TestTheLargestEventsAreCommittedAndTold(t *testing.T) {
	t.Parallel()
	const writers = 24
	set := mongotest.Shared(t)
	db := open(t, set.URI(set.Database(t)), mongodb.Options{})
	tail := openTail(t, db)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			e := fact(objectid.New(), 0)
			e.Payload = bytes.Repeat([]byte("x"), event.MaxPayload)
			if err := db.Tickets().Commit(t.Context(), ticket.Change{Events: []event.Event{e}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for len(seen) < writers {
		wake, err := tail.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range wake.Records {
			if wake.InOrder {
				seen[r.Key] = len(r.Payload) == event.MaxPayload
			}
		}
	}
	for key, whole := range seen {
		if !whole {
			t.Errorf("event of %s is not whole", key)
		}
	}
}
