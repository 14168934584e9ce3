package mongodb_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/event"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
	"lockstep/test/storetest"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(asVictim); what != "" {
		fmt.Println(victim(context.Background(), what)) // reached only if it could not be held up
		os.Exit(1)
	}
	spawn.Overlap(6)
	os.Exit(mongotest.Run(m))
}

func TestStore(t *testing.T) {
	set := mongotest.Shared(t)
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		return backend(t, set, set.Database(t))
	})
}

// open opens a database and closes it at the end of the test.
func open(t testing.TB, uri string, o mongodb.Options) *mongodb.DB {
	t.Helper()
	db, err := mongodb.Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func backend(t *testing.T, set *mongotest.Set, database string) storetest.Backend {
	t.Helper()
	db := open(t, set.URI(database), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	return storetest.Backend{
		Tickets: db.Tickets(), Orders: db.Orders(), Replica: db.Replica(), OrderTickets: db.OrderTickets(),
		Outbox: db.Outbox(), Quarantine: db.Quarantine(), Marks: db.Marks(), Incidents: db.Incidents(),
		Foreign: func(t *testing.T, key string) int { return foreign(t, set, database, key) },
		Careless: func(t *testing.T, e event.Event) {
			t.Helper()
			insert(t, set, database, bson.D{{Key: "_id", Value: e.ID()}, {Key: "key", Value: e.Key}, {Key: "version", Value: float64(e.Version)},
				{Key: "subject", Value: string(e.Subject)}, {Key: "payload", Value: string(e.Payload)}, {Key: "occurredAt", Value: "noon"},
				{Key: "failures", Value: nil}})
		},
		Spoil: func(t *testing.T, table, id string) { spoil(t, set, database, table, id) },
		Reopen: func(t *testing.T) storetest.Backend {
			t.Helper()
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			return backend(t, set, database)
		},
	}
}

// spoil puts a text where a number belongs.
func spoil(t *testing.T, set *mongotest.Set, database, collection, id string) {
	t.Helper()
	field := "price"
	switch collection {
	case "locks":
		field = "version"
	case "replica version":
		collection, field = "replica", "version"
	case "quarantine", "marks":
		field = "sequence"
	case "incidents":
		field = "count"
	case "leases":
		field = "epoch"
	}
	ids := bson.A{id}
	if o, err := bson.ObjectIDFromHex(id); err == nil {
		ids = append(ids, o)
	}
	these := bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}, bson.D{{Key: "_id.group", Value: id}}}}}
	change := bson.D{{Key: field, Value: "dear"}}
	if collection == "leases" {
		change = append(change, bson.E{Key: "until", Value: "dear"})
	}
	result, err := set.Client().Database(database).Collection(collection).UpdateOne(t.Context(), these, bson.D{{Key: "$set", Value: change}})
	if err != nil || result.ModifiedCount != 1 {
		t.Fatalf("spoil %s of %s: %+v, %v", id, collection, result, err)
	}
}

// foreign writes documents that are no events.
func foreign(t *testing.T, set *mongotest.Set, database, key string) int {
	t.Helper()
	own := func(id any, fields ...bson.E) bson.D { return append(bson.D{{Key: "_id", Value: id}}, fields...) }
	whole := func(id string, change ...bson.E) bson.D {
		d := bson.D{{Key: "_id", Value: id}}
		for _, e := range []bson.E{
			{Key: "key", Value: key}, {Key: "version", Value: 1}, {Key: "subject", Value: "s"}, {Key: "payload", Value: "{}"}, {Key: "isLocked", Value: true},
		} {
			for _, c := range change {
				if c.Key == e.Key {
					e.Value = c.Value
				}
			}
			d = append(d, e)
		}
		return d
	}
	other := bson.NewObjectID().Hex()
	docs := []any{
		own(bson.NewObjectID(), bson.E{Key: "name", Value: "concert"}),
		own("x"+other, bson.E{Key: "key", Value: "zzz"}, bson.E{Key: "version", Value: "1"}, bson.E{Key: "subject", Value: "s"}, bson.E{Key: "payload", Value: "{}"}),
		own(bson.D{{Key: "of", Value: other}}, bson.E{Key: "key", Value: key}),
		own(bson.NewDateTimeFromTime(time.Now().Add(time.Duration(rand.Int64N(1e15)))), bson.E{Key: "key", Value: bson.A{key, "b"}}, bson.E{Key: "version", Value: nil}),
		whole("another id" + other),
		whole(key+":1:s"+other, bson.E{Key: "subject", Value: 5}),
		whole(key+":-1:s"+other, bson.E{Key: "version", Value: nil}, bson.E{Key: "isLocked", Value: false}),
		whole(key+":-5:s"+other, bson.E{Key: "version", Value: -5}, bson.E{Key: "subject", Value: "s" + other}),
		whole(key+":9007199254740994:s"+other, bson.E{Key: "version", Value: float64(1<<53 + 2)}, bson.E{Key: "subject", Value: "s" + other}),
		whole(key+":9223372036854775807:s"+other, bson.E{Key: "version", Value: int64(math.MaxInt64)}, bson.E{Key: "subject", Value: "s" + other}),
		whole(key+":NaN:s"+other, bson.E{Key: "version", Value: math.NaN()}, bson.E{Key: "subject", Value: "s" + other}),
		whole("half"+other, bson.E{Key: "version", Value: 1.5}),
		whole("p"+other, bson.E{Key: "payload", Value: bson.D{}}),
		whole("l"+other, bson.E{Key: "isLocked", Value: "yes"}),
	}
	insert(t, set, database, docs...)
	return len(docs)
}

// insert writes as another program.
func insert(t *testing.T, set *mongotest.Set, database string, docs ...any) {
	t.Helper()
	if _, err := set.Client().Database(database).Collection("events").InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
}
