package mongodb_test

import (
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// Case 10.4: an index that only has the right name lets a ticket be sold as often
// as none.
func TestATicketIsSoldOnceUnderAnIndexThatIsAnother(t *testing.T) {
	t.Parallel()
	partial := bson.D{{Key: "status", Value: bson.D{{Key: "$in", Value: order.Active()}}}}
	for what, spec := range map[string]struct {
		extra bson.D
		says  string
	}{
		"not unique":        {bson.D{{Key: "partialFilterExpression", Value: partial}}, "another index in the place of"},
		"of all orders":     {bson.D{}, "another index in the place of"},
		"of some of them":   {bson.D{{Key: "unique", Value: true}, {Key: "partialFilterExpression", Value: bson.D{{Key: "status", Value: "complete"}}}}, "another index in the place of"},
		"case insensitive":  {bson.D{{Key: "unique", Value: true}, {Key: "partialFilterExpression", Value: partial}, {Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}}}}, "another index in the place of"},
		"hidden afterwards": {bson.D{{Key: "unique", Value: true}, {Key: "partialFilterExpression", Value: partial}, {Key: "hidden", Value: true}}, "unhideIndex"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			set := mongotest.Shared(t)
			name := set.Database(t)
			uri := set.URI(name)
			dbs := []*mongodb.DB{open(t, uri, mongodb.Options{}), open(t, uri, mongodb.Options{})}
			orders := set.Client().Database(name).Collection("orders")
			if err := orders.Indexes().DropOne(t.Context(), "active"); err != nil {
				t.Fatal(err)
			}
			index := append(bson.D{{Key: "name", Value: "active"}, {Key: "key", Value: bson.D{{Key: "ticket", Value: 1}}}}, spec.extra...)
			make := bson.D{{Key: "createIndexes", Value: "orders"}, {Key: "indexes", Value: bson.A{index}}}
			if err := set.Client().Database(name).RunCommand(t.Context(), make).Err(); err != nil {
				t.Fatal(err)
			}
			sold := buyAll(t, dbs, []string{objectid.New(), objectid.New()})
			for i := range sold {
				if n := sold[i].Load(); n > 1 {
					t.Errorf("a ticket was sold %d times", n)
				}
			}
			if err := dbs[0].Ping(t.Context()); !errors.Is(err, mongodb.ErrSetUp) || !strings.Contains(err.Error(), spec.says) {
				t.Errorf("ping: %v, want %q", err, spec.says)
			}
			if err := orders.Indexes().DropOne(t.Context(), "active"); err != nil {
				t.Fatal(err)
			}
			spawn.Background(t, dbs[0].Keep)
			spawn.Until(t, "reservations go on", func() bool {
				return dbs[0].Orders().Commit(t.Context(), reservation(objectid.New())) == nil && dbs[0].Ping(t.Context()) == nil
			})
		})
	}
}

// A primary that steps down while the index is asked for has stored nothing.
func TestAReservationOutlivesAPrimaryThatCannotTell(t *testing.T) {
	set := mongotest.Shared(t)
	db := open(t, set.URI(set.Database(t)), mongodb.Options{AppName: t.Name()})
	const steppedDown = 189
	set.Fail(t, t.Name(), steppedDown, 2, "createIndexes")
	if err := db.Orders().Commit(t.Context(), reservation(objectid.New())); err != nil {
		t.Errorf("reservation: %v", err)
	}
}

// Case 10.4: an index that somebody made and that takes documents away, or keeps
// them out.
func TestAnIndexThatTakesDocumentsAwayIsNoticed(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	for what, harm := range map[string]bson.E{"removes": {Key: "expireAfterSeconds", Value: 86400}, "is unique": {Key: "unique", Value: true}} {
		name := set.Database(t)
		db := open(t, set.URI(name), mongodb.Options{})
		index := bson.D{{Key: "name", Value: "strange"}, {Key: "key", Value: bson.D{{Key: "occurredAt", Value: 1}}}, harm}
		run(t, set.Client().Database(name), "createIndexes", "events", bson.E{Key: "indexes", Value: bson.A{index}})
		if err := mongodb.Restore(db, t.Context()); !errors.Is(err, mongodb.ErrSetUp) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), `db.events.dropIndex("strange")`) {
			t.Errorf("look: %v, want what to do", err)
		}
	}
}
