package mongodb_test

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/listeners"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// The last release did not say how large an entry is. Case 11.5.
func TestTheQuarantineOfTheLastReleaseIsMeasured(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	entry := func(id, group string, payload any) bson.D {
		return bson.D{{Key: "_id", Value: id}, {Key: "queueGroup", Value: group}, {Key: "payload", Value: payload}, {Key: "reason", Value: "undecodable"}}
	}
	if _, err := set.Client().Database(name).Collection("quarantine").InsertMany(t.Context(), []any{
		entry("a", "g", "{}"), entry("b", "g", bson.Binary{Data: []byte{0xff, 0xfe, 0xfd}}), entry("c", "g", 7), entry("d", "other", "{}"),
	}); err != nil {
		t.Fatal(err)
	}
	db, err := mongodb.Open(t.Context(), set.URI(name), mongodb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if size, err := db.Quarantine().Size(t.Context(), "g"); size != (listeners.Size{Messages: 3, Bytes: 5}) || err != nil {
		t.Errorf("%+v (%v) in quarantine, want 3 messages of 5 bytes", size, err)
	}
}

// Case 10.7: what is read by itself, for it is large, and cannot be read, stops
// nothing behind it.
func TestALargeEntryThatCannotBeReadIsLeftOut(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	good := listeners.Quarantined{ID: "good", Group: "g", Key: "k", Version: 2, Predecessor: 1, Payload: []byte("{}"), Reason: listeners.TooEarly}
	if err := db.Quarantine().Put(t.Context(), []listeners.Quarantined{good}); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Client().Database(name).Collection("quarantine").InsertOne(t.Context(), bson.D{
		{Key: "_id", Value: "bad"}, {Key: "queueGroup", Value: "g"}, {Key: "key", Value: "k"}, {Key: "version", Value: 1}, {Key: "predecessor", Value: 0},
		{Key: "payload", Value: 7}, {Key: "size", Value: 100_000}, {Key: "reason", Value: "too_early"},
	}); err != nil {
		t.Fatal(err)
	}
	waiting, err := db.Quarantine().Waiting(t.Context(), "g", "", 10)
	if err != nil || len(waiting) != 1 || waiting[0].ID != "good" {
		t.Errorf("waiting: %+v, %v", waiting, err)
	}
	applicable, err := db.Quarantine().Applicable(t.Context(), "g", map[string]int64{"k": 1}, 10)
	if err != nil || len(applicable) != 1 || applicable[0].ID != "good" {
		t.Errorf("applicable: %+v, %v", applicable, err)
	}
}
