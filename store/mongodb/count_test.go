package mongodb_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/event"

	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// Case 10.13: what is counted every few seconds costs the same however much
// there is.
func TestCountsAreBounded(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	data := set.Client().Database(name)
	const many = 25_000
	for _, c := range []string{"quarantine", "events"} {
		docs := make([]any, many)
		for i := range docs {
			docs[i] = bson.D{{Key: "_id", Value: bson.NewObjectID().Hex()}, {Key: "occurredAt", Value: time.Now()}}
		}
		if _, err := data.Collection(c).InsertMany(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	limits := map[string]int64{} // by collection, of counts
	db, err := mongodb.OpenMonitored(t.Context(), set.URI(name), mongodb.Options{}, &driver.CommandMonitor{
		Started: func(_ context.Context, e *driver.CommandStartedEvent) {
			mu.Lock()
			defer mu.Unlock()
			on, _ := e.Command.Lookup("aggregate").StringValueOK()
			if _, err := e.Command.LookupErr("pipeline", "2", "$group"); err == nil {
				limits[on], _ = e.Command.Lookup("pipeline", "1", "$limit").AsInt64OK()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if n, err := db.Quarantine().Count(t.Context()); err != nil || n != many {
		t.Errorf("quarantine: %d, %v, want %d", n, err, many)
	}
	if s, err := db.Outbox().Stats(t.Context()); err != nil || s.Pending != many {
		t.Errorf("outbox: %d, %v, want %d", s.Pending, err, many)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, c := range []string{"quarantine", "events"} {
		if limit, counted := limits[c]; counted && limit != 10_000 {
			t.Errorf("%s was counted up to %d documents, want a bound of 10000 (0: none)", c, limit)
		}
	}
}
