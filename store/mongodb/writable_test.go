package mongodb_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/event"
	"lockstep/internal/group"
	"lockstep/internal/objectid"
	"lockstep/listeners"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
	"lockstep/ticket"
)

// unwritable are collections that are there and do not take, find or keep what
// the service writes, with what is said of them.
var unwritable = map[string]struct {
	options bson.D
	says    string
}{
	"a view":                 {bson.D{{Key: "viewOn", Value: "elsewhere"}, {Key: "pipeline", Value: bson.A{}}}, "is a view"},
	"time series":            {bson.D{{Key: "timeseries", Value: bson.D{{Key: "timeField", Value: "at"}}}}, "is a timeseries"},
	"capped":                 {bson.D{{Key: "capped", Value: true}, {Key: "size", Value: 1 << 20}}, "is capped"},
	"case insensitive":       {bson.D{{Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}, {Key: "strength", Value: 2}}}}, "has a collation"},
	"clustered for a while":  {bson.D{{Key: "clusteredIndex", Value: clustered}, {Key: "expireAfterSeconds", Value: 86400}}, "removes documents after a while"},
	"a validator of all":     {bson.D{{Key: "validator", Value: schemaOf("never")}}, "has a validator that refuses what the service writes"},
	"a validator of changes": {bson.D{{Key: "validator", Value: bson.D{{Key: "never", Value: 1}}}, {Key: "validationLevel", Value: "moderate"}}, "has a validator"},
}

var clustered = bson.D{{Key: "key", Value: bson.D{{Key: "_id", Value: 1}}}, {Key: "unique", Value: true}}

func schemaOf(required ...string) bson.D {
	return bson.D{{Key: "$jsonSchema", Value: bson.D{{Key: "required", Value: required}}}}
}

// collections of both services; the replica has two names.
var collections = []string{"tickets", "locks", "orders", "replica", "events", "leases", "quarantine", "marks", "payments", "incidents"}

func run(t *testing.T, db *mongo.Database, command string, of any, rest ...bson.E) {
	t.Helper()
	if err := db.RunCommand(t.Context(), append(bson.D{{Key: command, Value: of}}, rest...)).Err(); err != nil {
		t.Fatal(err)
	}
}

// Case 10.4, its kind: a collection that is opened takes what is written to it.
func TestOpenRefusesCollectionsThatDoNotTakeEverything(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	for what, kind := range unwritable {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name := set.Database(t)
			for _, c := range collections {
				run(t, set.Client().Database(name), "create", c, kind.options...)
			}
			err := refused(t, set.URI(name), mongodb.Options{})
			wantSetUp(t, err)
			wantEach(t, err, kind.says, collections...)
			wantSetUp(t, refused(t, set.URI(name), mongodb.Options{Replica: "tickets"}, "tickets of database "+name+" "+kind.says))
			wantEach(t, mongodb.Look(t.Context(), set.URI(name), mongodb.Options{}), kind.says, collections...)
		})
	}
}

// wantEach wants a sentence for each of the collections.
func wantEach(t *testing.T, err error, says string, collections ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("nothing is said")
	}
	for _, c := range collections {
		found := false
		for line := range strings.Lines(err.Error()) {
			found = found || strings.Contains(line, c+" of database") && strings.Contains(line, says)
		}
		if !found {
			t.Errorf("of %s it does not say %q: %v", c, says, err)
		}
	}
}

// What takes everything is none of our business.
func TestOpenTakesCollectionsThatTakeEverything(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	for what, options := range map[string]bson.D{
		"clustered":                   {{Key: "clusteredIndex", Value: clustered}},
		"clustered by another name":   {{Key: "clusteredIndex", Value: append(bson.D{{Key: "name", Value: "pages"}}, clustered...)}},
		"a validator that lets pass":  {{Key: "validator", Value: schemaOf("_id")}},
		"a validator that warns":      {{Key: "validator", Value: schemaOf("never")}, {Key: "validationAction", Value: "warn"}},
		"a validator that is off":     {{Key: "validator", Value: schemaOf("never")}, {Key: "validationLevel", Value: "off"}},
		"with pictures of the before": {{Key: "changeStreamPreAndPostImages", Value: bson.D{{Key: "enabled", Value: true}}}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name := set.Database(t)
			for _, c := range collections {
				run(t, set.Client().Database(name), "create", c, options...)
			}
			db := open(t, set.URI(name), mongodb.Options{})
			made := create(t.Context(), t, db)
			if err := db.Tickets().Commit(t.Context(), edit(made)); err != nil {
				t.Errorf("edit: %v", err)
			}
			counts := buyAll(t, []*mongodb.DB{db}, []string{made.ID})
			if n := counts[0].Load(); n != 1 {
				t.Errorf("a ticket was sold %d times", n)
			}
			_, _, listed := db.Quarantine().List(t.Context(), listeners.Filter{}, "", 9)
			if err := errors.Join(listed, mongodb.Restore(db, t.Context())); err != nil {
				t.Errorf("a look at it: %v", err)
			}
		})
	}
}

// A validator may know a record as the Node service wrote it, and not as ours.
func TestAValidatorOfNodesRecordsIsTold(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	validator := bson.D{{Key: "$jsonSchema", Value: bson.D{
		{Key: "additionalProperties", Value: false},
		{Key: "properties", Value: bson.D{{Key: "_id", Value: bson.D{}}, {Key: "title", Value: bson.D{}}, {Key: "price", Value: bson.D{}}, {Key: "userId", Value: bson.D{}}, {Key: "version", Value: bson.D{}}}},
	}}}
	run(t, set.Client().Database(name), "create", "tickets", bson.E{Key: "validator", Value: validator})
	wantSetUp(t, refused(t, set.URI(name), mongodb.Options{}, "collection tickets", "createdAt", "collMod"))
}

// Case 10.4, its kind: the same while the service runs.
func TestACollectionThatCeasesToTakeEverythingIsNoticed(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	for what, kind := range unwritable {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name := set.Database(t)
			db := open(t, set.URI(name), mongodb.Options{})
			data := set.Client().Database(name)
			for _, c := range collections {
				if err := data.Collection(c).Drop(t.Context()); err != nil {
					t.Fatal(err)
				}
				run(t, data, "create", c, kind.options...)
			}
			err := mongodb.Restore(db, t.Context())
			wantSetUp(t, err)
			wantEach(t, err, kind.says, "replica", "events", "leases", "quarantine", "marks", "incidents")
			wantEach(t, err, "was dropped, renamed or replaced", "tickets", "locks", "orders", "payments")
			if err := db.Ping(t.Context()); !errors.Is(err, mongodb.ErrSetUp) {
				t.Errorf("ping: %v", err)
			}
			aside := listeners.Quarantined{ID: "a", Group: "g", Subject: event.TicketCreated, Reason: listeners.Failing}
			refuses(t, db.Quarantine().Put(t.Context(), []listeners.Quarantined{aside}))
			_, err = db.Replica().Write(t.Context(), []replica.Write{{Row: replica.Row{ID: objectid.New(), Title: "a chair", Price: 1}, From: event.None}})
			refuses(t, err)
		})
	}
}

// Case 10.4, its kind: whoever writes meanwhile is told that nothing was changed,
// and all goes on once the collection takes it.
func TestWritesAreRefusedUntilTheValidatorLetsThemPass(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	for _, collection := range []string{"tickets", "events"} {
		t.Run(collection, func(t *testing.T) {
			t.Parallel()
			name := set.Database(t)
			db := open(t, set.URI(name), mongodb.Options{})
			spawn.Background(t, db.Keep)
			run(t, set.Client().Database(name), "collMod", collection, bson.E{Key: "validator", Value: schemaOf("never")})
			refuses(t, db.Tickets().Commit(t.Context(), creation(20)))
			spawn.Until(t, "it is noticed", func() bool {
				err := db.Ping(t.Context())
				return errors.Is(err, mongodb.ErrSetUp) && strings.Contains(err.Error(), "collection "+collection+" of database "+name+" has a validator")
			})
			run(t, set.Client().Database(name), "collMod", collection, bson.E{Key: "validator", Value: bson.D{}})
			spawn.Until(t, "all is well", func() bool {
				return db.Ping(t.Context()) == nil && db.Tickets().Commit(t.Context(), creation(20)) == nil
			})
		})
	}
}

func creation(price float64) ticket.Change {
	made := ticket.Ticket{ID: objectid.New(), Title: "a chair", Price: price, UserID: "ann"}
	return ticket.Change{Now: &made, Events: []event.Event{fact(made.ID, 0)}}
}

// refuses wants to hear that nothing was changed.
func refuses(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, group.ErrRefused) || errors.Is(err, group.ErrUnknown) {
		t.Errorf("error = %v, want %v", err, group.ErrRefused)
	}
}

// A collection that takes only some refuses the others alone.
func TestOneRefusedDocumentSpoilsNobody(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	cheap := bson.D{{Key: "price", Value: bson.D{{Key: "$lt", Value: 100}}}}
	run(t, set.Client().Database(name), "collMod", "tickets", bson.E{Key: "validator", Value: cheap})
	errs := make(chan error, 16)
	for i := range 16 {
		go func() {
			err := db.Tickets().Commit(t.Context(), creation(float64(10+90*(i%2))))
			if i%2 == 1 {
				refuses(t, err)
				err = nil
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Errorf("a neighbour: %v", err)
		}
	}
	if err := mongodb.Restore(db, t.Context()); err != nil {
		t.Errorf("a look at it: %v", err)
	}
}

// Case 10.4, its kind: a user who may read and not write.
func TestAUserWhoMayNotWriteIsRefusedAndNoticed(t *testing.T) {
	t.Parallel()
	set := mongotest.Secured(t)
	uri := set.UserURI(t, "shop")
	db := open(t, uri, mongodb.Options{})
	spawn.Background(t, db.Keep)
	made := create(t.Context(), t, db)
	roles := func(roles ...any) {
		t.Helper()
		run(t, set.Client().Database("shop"), "updateUser", "app", bson.E{Key: "roles", Value: append(bson.A{}, roles...)})
	}
	for _, left := range [][]any{{"read"}, {}} {
		roles(left...)
		refuses(t, db.Tickets().Commit(t.Context(), edit(made)))
		if len(left) == 0 {
			refuses(t, readAll(t.Context(), db))
		}
		wantSetUp(t, refused(t, uri, mongodb.Options{}, "readWrite", "shop"))
		spawn.Until(t, "it is noticed", func() bool {
			err := db.Ping(t.Context())
			return errors.Is(err, mongodb.ErrSetUp) && strings.Contains(err.Error(), "readWrite")
		})
		roles("readWrite")
		spawn.Until(t, "all is well", func() bool { return db.Ping(t.Context()) == nil })
		create(t.Context(), t, db)
	}
}

// A server that blocks the writes of users, as while it is copied, refuses them
// for a reason that we do not know of.
func TestAServerThatBlocksWritesRefuses(t *testing.T) {
	t.Parallel()
	set := mongotest.Secured(t)
	db := open(t, set.UserURI(t, "shop"), mongodb.Options{})
	made := create(t.Context(), t, db)
	block := func(on bool) {
		t.Helper()
		run(t, set.Client().Database("admin"), "setUserWriteBlockMode", 1, bson.E{Key: "global", Value: on})
	}
	block(true)
	refuses(t, db.Tickets().Commit(t.Context(), edit(made)))
	_, _, err := db.Outbox().Acquire(t.Context(), "probe", "probe", time.Second)
	refuses(t, err)
	block(false)
	if err := db.Tickets().Commit(t.Context(), edit(made)); err != nil {
		t.Error(err)
	}
}

func readAll(ctx context.Context, db *mongodb.DB) (err error) {
	for _, err = range db.Tickets().Free(ctx) {
	}
	return err
}
