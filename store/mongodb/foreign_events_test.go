package mongodb_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

// Case 10.3: an entry that is no event and not locked, at the head of a key, hides
// no event behind it, and makes none that is not stale so.
func TestAForeignHeadThatIsNotLockedHidesNoEvent(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	now := time.Now()
	entry := func(id any, key string, version int, locked bool, lockedAt time.Time, payload any) bson.D {
		return bson.D{{Key: "_id", Value: id}, {Key: "key", Value: key}, {Key: "version", Value: version}, {Key: "subject", Value: "s"},
			{Key: "payload", Value: payload}, {Key: "isLocked", Value: locked}, {Key: "lockedAt", Value: lockedAt}}
	}
	docs := []any{
		entry(1, "own", 0, false, now, "{}"), entry("own:1:s", "own", 1, true, now.Add(-time.Hour), "{}"), entry("own:2:s", "own", 2, true, now.Add(-time.Hour), "{}"),
		entry("x", "own", 3, false, now, "{}"),
		entry("spoiled:0:s", "spoiled", 0, false, now, 5), entry("spoiled:1:s", "spoiled", 1, true, now.Add(-time.Hour), "{}"),
		entry("plain:0:s", "plain", 0, true, now.Add(-time.Hour), "{}"), entry(2, "plain", 1, false, now, "{}"),
		entry(3, "fresh", 0, false, now, "{}"), entry("fresh:1:s", "fresh", 1, true, now, "{}"),
		entry(4, "failed", 0, false, now, "{}"), entry("failed:1:s", "failed", 1, false, now, "{}"), entry("failed:2:s", "failed", 2, true, now.Add(-time.Hour), "{}"),
	}
	for i := range 30 { // more than a page, of which nothing is an event
		docs = append(docs, entry(fmt.Sprint(i), fmt.Sprint("alone", i), 0, false, now, "{}"))
	}
	insert(t, set, name, docs...)
	for limit, want := range map[int][]string{10: {"own:1:s", "plain:0:s", "spoiled:1:s"}, 2: {"own:1:s", "plain:0:s"}, 1: {"own:1:s"}} {
		got, err := db.Outbox().Stale(t.Context(), now.Add(-time.Minute), now.Add(time.Minute), limit)
		ids := idsOf(got, func(r outbox.Record) string { return r.ID() })
		slices.Sort(ids)
		if diff := cmp.Diff(want, ids); err != nil || diff != "" {
			t.Errorf("%d stale ones: %v (-want +got):\n%s", limit, err, diff)
		}
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
