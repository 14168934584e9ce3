package mongodb_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// refused opens a database that cannot be used and wants a sentence with all
// of the words.
func refused(t *testing.T, uri string, o mongodb.Options, words ...string) error {
	t.Helper()
	db, err := mongodb.Open(t.Context(), uri, o)
	if err == nil {
		t.Fatalf("opened: %v", db.Close())
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
	return err
}

func wantSetUp(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, mongodb.ErrSetUp) {
		t.Errorf("the error is no ErrSetUp: %v", err)
	}
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	t.Run("no database in the URI", func(t *testing.T) {
		wantSetUp(t, refused(t, "mongodb://127.0.0.1:1/?replicaSet=rs0", mongodb.Options{}, "names no database", "add it to the path"))
	})
	t.Run("the server's own database", func(t *testing.T) {
		wantSetUp(t, refused(t, "mongodb://127.0.0.1:1/admin", mongodb.Options{}, `"admin" belongs to the server`))
	})
	t.Run("an illegal name", func(t *testing.T) {
		wantSetUp(t, refused(t, "mongodb://127.0.0.1:1/x", mongodb.Options{Database: "a b"}, `"a b" is no legal database name`))
	})
	t.Run("no URI at all", func(t *testing.T) {
		wantSetUp(t, refused(t, "localhost:27017/tickets", mongodb.Options{Database: "x"}, "the URI cannot be used"))
	})
	t.Run("a URI that never works", func(t *testing.T) { // case 11.13
		for _, uri := range []string{"mongodb://127.0.0.1:99999/x", "mongodb://127.0.0.1/x?tlsCAFile=/nowhere", "mongodb://127.0.0.1/x?w=-3"} {
			if err := refused(t, uri, mongodb.Options{}, "the URI cannot be used"); !errors.Is(err, mongodb.ErrURI) || !errors.Is(err, mongodb.ErrSetUp) {
				t.Errorf("%s: %v is no ErrURI and ErrSetUp", uri, err)
			}
		}
	})
	t.Run("a name that is not found", func(t *testing.T) {
		if err := refused(t, "mongodb+srv://nowhere.invalid/x", mongodb.Options{}, "the URI cannot be used"); errors.Is(err, mongodb.ErrSetUp) {
			t.Errorf("it is not waited for: %v", err)
		}
	})
	t.Run("a database in other letters", func(t *testing.T) {
		t.Parallel()
		set := mongotest.Shared(t)
		name := set.Database(t)
		if _, err := set.Client().Database(name).Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
			t.Fatal(err)
		}
		wantSetUp(t, refused(t, set.URI(strings.ToUpper(name)), mongodb.Options{}, "in other letters", name))
	})
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		refused(t, "mongodb://127.0.0.1:1/tickets?serverSelectionTimeoutMS=500", mongodb.Options{}, "no MongoDB answers at 127.0.0.1:1")
	})
	t.Run("a standalone server", func(t *testing.T) {
		t.Parallel()
		address := mongotest.Standalone(t)
		for _, query := range []string{"", "?directConnection=true", "?replicaSet=rs0&serverSelectionTimeoutMS=500"} {
			wantSetUp(t, refused(t, "mongodb://"+address+"/tickets"+query, mongodb.Options{}, address, "standalone", "--replSet", "rs.initiate()"))
		}
	})
	t.Run("a set that was not initiated", func(t *testing.T) {
		t.Parallel()
		address := mongotest.Uninitiated(t)
		for _, query := range []string{"?serverSelectionTimeoutMS=500", "?directConnection=true", "?replicaSet=rs0&serverSelectionTimeoutMS=500"} {
			wantSetUp(t, refused(t, "mongodb://"+address+"/tickets"+query, mongodb.Options{}, address, "waits to become a replica set", "rs.initiate()"))
		}
	})
	t.Run("another set", func(t *testing.T) {
		t.Parallel()
		uri := mongotest.Shared(t).URI("tickets")
		uri = strings.Replace(uri, "replicaSet=rs0", "replicaSet=rs9&serverSelectionTimeoutMS=500", 1)
		wantSetUp(t, refused(t, uri, mongodb.Options{}, `"rs0", not "rs9"`, "correct replicaSet"))
	})
	t.Run("another password", func(t *testing.T) {
		t.Parallel()
		uri := strings.Replace(mongotest.Shared(t).URI("tickets"), "mongodb://", "mongodb://ann:secret@", 1)
		err := refused(t, uri, mongodb.Options{}, "check user, password, authSource")
		wantSetUp(t, err)
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	})
}

// TestALimitedLookSaysWhatIsWrong: the search for a primary takes no more than half
// of the time. Case 11.13.
func TestALimitedLookSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	uri := strings.Replace(mongotest.Shared(t).URI("tickets"), "replicaSet=rs0", "replicaSet=rs9", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	err := mongodb.Look(ctx, uri, mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), `"rs0", not "rs9"`) {
		t.Errorf("of a set of another name the look says: %v", err)
	}
	wantSetUp(t, err)
}

func TestOpenNeedsThePrivileges(t *testing.T) {
	set := mongotest.Shared(t)
	const unauthorized = 13
	for _, command := range []string{"create", "createIndexes", "aggregate"} {
		t.Run(command, func(t *testing.T) {
			name := set.Database(t)
			set.Fail(t, t.Name(), unauthorized, -1, command)
			wantSetUp(t, refused(t, set.URI(name), mongodb.Options{AppName: t.Name()}, "grant readWrite", name))
		})
	}
}

func TestOpenSaysWhichIndexIsInTheWay(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	makeIndex(t, set.Client().Database(name).Collection("events"), "byKey", bson.D{{Key: "version", Value: 1}})
	wantSetUp(t, refused(t, set.URI(name), mongodb.Options{}, `"byKey"`, "db.events.dropIndex"))
}

func makeIndex(t *testing.T, c *mongo.Collection, name string, keys bson.D) {
	t.Helper()
	if _, err := c.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: keys, Options: options.Index().SetName(name)}); err != nil {
		t.Fatal(err)
	}
}

func TestOpenSaysThatTicketsAreReservedTwice(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	ticket := bson.NewObjectID()
	for range 2 {
		order := bson.D{{Key: "ticket", Value: ticket}, {Key: "status", Value: "created"}, {Key: "version", Value: 0}}
		if _, err := set.Client().Database(name).Collection("orders").InsertOne(t.Context(), order); err != nil {
			t.Fatal(err)
		}
	}
	wantSetUp(t, refused(t, set.URI(name), mongodb.Options{}, "several active orders", "cancel all but one"))
}

func TestManyPodsOpenOneFreshDatabase(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	uri := set.URI(set.Database(t))
	const pods = 8
	errs := make([]error, pods)
	dbs := make([]*mongodb.DB, pods)
	var wg sync.WaitGroup
	for i := range pods {
		wg.Go(func() { dbs[i], errs[i] = mongodb.Open(t.Context(), uri, mongodb.Options{}) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("pod %d: %v", i, err)
			continue
		}
		if err := dbs[i].Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheOrdersServiceHasItsReplicaInTickets(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{Replica: "tickets"})
	if err := mongodb.Restore(db, t.Context()); err != nil {
		t.Errorf("a look at it: %v", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	names, err := set.Client().Database(name).ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if want := []string{"events", "incidents", "leases", "marks", "orders", "payments", "quarantine", "tickets"}; !slices.Equal(names, want) {
		t.Errorf("collections are %v, want %v", names, want)
	}
}
