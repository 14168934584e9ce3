package mongodb_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/listeners"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// TestMarksOfTheReleaseBeforeGoOn: they had no revision, and members of that
// release may be at work beside this one.
func TestMarksOfTheReleaseBeforeGoOn(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db, raw := open(t, set.URI(name), mongodb.Options{}), set.Client().Database(name)
	id := bson.D{{Key: "group", Value: "g"}, {Key: "channel", Value: "c"}}
	sentAt := time.Unix(7, 5).UTC()
	old := func(sequence int64) bson.D {
		return bson.D{{Key: "_id", Value: id}, {Key: "sequence", Value: sequence}, {Key: "sentAt", Value: sentAt}, {Key: "sentAtNanos", Value: sentAt.UnixNano()}}
	}
	if _, err := raw.Collection("marks").InsertOne(t.Context(), old(41)); err != nil {
		t.Fatal(err)
	}
	want := listeners.Mark{Group: "g", Channel: "c", Sequence: 41, Last: 41, SentAt: sentAt}
	is := func(want listeners.Mark) {
		t.Helper()
		got, err := db.Marks().Mark(t.Context(), "g", "c")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("mark: %v (-want +got)\n%s", err, diff)
		}
	}
	is(want)
	ours := want
	ours.Beyond, ours.Last = listeners.Spans{{From: 45, To: 50}}, 50
	if stored, err := db.Marks().Store(t.Context(), ours); err != nil || !stored {
		t.Fatalf("over a mark without a revision: stored %t, %v", stored, err)
	}
	ours.Revision = 1
	is(ours)
	if _, err := raw.Collection("marks").ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: id}}, old(60)); err != nil {
		t.Fatal(err)
	}
	if stored, err := db.Marks().Store(t.Context(), ours); err != nil || stored {
		t.Errorf("over what the release before wrote meanwhile: stored %t, %v", stored, err)
	}
	want.Sequence, want.Last = 60, 60
	is(want)
}
