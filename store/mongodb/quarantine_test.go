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
