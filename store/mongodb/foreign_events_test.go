package mongodb_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/outbox"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// Case 10.3: keys of which nothing is an event hide no key behind them, and a
// history that is none is replaced.
func TestForeignKeysHideNoEvent(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	const limit = 10
	docs := []any{
		bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "_id", Value: 2}, {Key: "key", Value: 7}},
		bson.D{
			{Key: "_id", Value: "z:1:s"}, {Key: "key", Value: "z"}, {Key: "version", Value: 1}, {Key: "subject", Value: "s"}, {Key: "payload", Value: "{}"},
			{Key: "failureCount", Value: bson.D{{Key: "$gt", Value: 1}}},
		},
	}
	for i := range 3*limit + 1 {
		docs = append(docs, bson.D{{Key: "_id", Value: fmt.Sprint("x", i)}, {Key: "key", Value: fmt.Sprint("k", i)}, {Key: "version", Value: []any{"1", -1, nil}[i%3]}})
	}
	insert(t, set, name, docs...)
	got, err := db.Outbox().Stale(t.Context(), time.Now(), time.Now().Add(time.Hour), limit)
	if err != nil || len(got) != 1 || got[0].ID() != "z:1:s" {
		t.Errorf("stale %v, %v, want the one event", got, err)
	}
	failed, err := db.Outbox().Fail(t.Context(), "z:1:s", outbox.Failure{Class: outbox.Rejected}, time.Now())
	if err != nil || failed.Failures.Total != 1 {
		t.Errorf("failed %+v, %v", failed, err)
	}
}

// Case 10.3: an event that other hands spoil is counted by processes that follow
// no stream, and said to be what it is.
func TestASpoiledEventIsCounted(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	var log bytes.Buffer
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	create(t.Context(), t, db)
	if _, err := set.Client().Database(name).Collection("events").UpdateOne(t.Context(), bson.D{}, bson.D{{Key: "$set", Value: bson.D{{Key: "isLocked", Value: "yes"}}}}); err != nil {
		t.Fatal(err)
	}
	stats, err := db.Outbox().Stats(t.Context())
	if err != nil || stats.Unreadable != 1 || stats.Pending != 1 {
		t.Errorf("stats %+v, %v", stats, err)
	}
	if !strings.Contains(log.String(), "isLocked is no boolean") {
		t.Errorf("the log does not say why: %s", log.String())
	}
}
