package mongodb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/event"
	"lockstep/internal/group"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
	"lockstep/ticket"
)

// reservation returns the change that reserves a ticket.
func reservation(ticketID string) order.Change {
	o := order.Order{ID: objectid.New(), UserID: "bob", Status: order.Created, TicketID: ticketID, ExpiresAt: time.Now().UTC().Truncate(time.Millisecond)}
	return order.Change{Now: o, Events: []event.Event{fact(o.ID, 0)}}
}

// buyAll lets eight buyers at once, of two processes, want each of the tickets.
func buyAll(t *testing.T, dbs []*mongodb.DB, tickets []string) (sold []atomic.Int32) {
	t.Helper()
	sold = make([]atomic.Int32, len(tickets))
	var buyers sync.WaitGroup
	for i, id := range tickets {
		for b := range 8 {
			buyers.Go(func() {
				switch err := dbs[b%len(dbs)].Orders().Commit(t.Context(), reservation(id)); {
				case err == nil:
					sold[i].Add(1)
				case !errors.Is(err, order.ErrReserved) && !errors.Is(err, order.ErrSuspended):
					t.Errorf("reservation: %v", err)
				}
			})
		}
	}
	buyers.Wait()
	return sold
}

func indexNames(t *testing.T, c *mongo.Collection) (names string) {
	t.Helper()
	specs, err := c.Indexes().ListSpecifications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		names += s.Name + " "
	}
	return names
}

func wantRemade(t *testing.T, registry *prometheus.Registry, n int) {
	t.Helper()
	want := fmt.Sprintf("# HELP lockstep_mongodb_remade_total Collections and indexes that were dropped while the service ran and that this process made again.\n"+
		"# TYPE lockstep_mongodb_remade_total counter\nlockstep_mongodb_remade_total %d\n", n)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "lockstep_mongodb_remade_total"); err != nil {
		t.Error(err)
	}
}

// Case 10.4.
func TestATicketIsSoldOnceWhileTheIndexIsDropped(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	uri := set.URI(name)
	registry := prometheus.NewRegistry()
	dbs := []*mongodb.DB{open(t, uri, mongodb.Options{Registerer: registry}), open(t, uri, mongodb.Options{})}
	orders := set.Client().Database(name).Collection("orders")
	if err := orders.Indexes().DropOne(t.Context(), "byUser"); err != nil {
		t.Fatal(err)
	}
	if err := mongodb.Restore(dbs[0], t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRemade(t, registry, 1)
	for range 8 {
		if err := orders.Indexes().DropOne(t.Context(), "active"); err != nil {
			t.Fatal(err)
		}
		tickets := []string{objectid.New(), objectid.New(), objectid.New(), objectid.New()}
		sold := buyAll(t, dbs, tickets)
		for i := range sold {
			if n := sold[i].Load(); n != 1 {
				t.Errorf("a ticket was sold %d times", n)
			}
		}
	}
	if names := indexNames(t, orders); !strings.Contains(names, "active") {
		t.Errorf("indexes are %s", names)
	}
	for _, db := range dbs {
		if err := db.Ping(t.Context()); err != nil {
			t.Errorf("ping: %v", err)
		}
	}
}

// Case 10.4: the index cannot be made again.
func TestReservationsAreSuspendedWhileTicketsAreSoldTwice(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	spawn.Background(t, db.Keep)
	kept := reservation(objectid.New())
	if err := db.Orders().Commit(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	orders := set.Client().Database(name).Collection("orders")
	if err := orders.Indexes().DropAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	twice := bson.NewObjectID()
	foreign := bson.D{{Key: "ticket", Value: twice}, {Key: "status", Value: "created"}, {Key: "userId", Value: "eve"}, {Key: "version", Value: 0}}
	put(t, orders, foreign, foreign)

	if err := db.Orders().Commit(t.Context(), reservation(objectid.New())); !errors.Is(err, order.ErrSuspended) {
		t.Errorf("reservation: %v, want %v", err, order.ErrSuspended)
	}
	if err := db.Ping(t.Context()); !errors.Is(err, mongodb.ErrSetUp) || !strings.Contains(err.Error(), twice.Hex()) {
		t.Errorf("ping: %v, want which ticket was sold twice", err)
	}
	cancelled := kept.Now
	cancelled.Status, cancelled.Version = order.Cancelled, 1
	if err := db.Orders().Commit(t.Context(), order.Change{Was: &kept.Now, Now: cancelled, Events: []event.Event{fact(kept.Now.ID, 1)}}); err != nil {
		t.Errorf("cancellation meanwhile: %v", err)
	}

	for _, err := range db.Orders().Orders(t.Context(), "bob") {
		if err != nil {
			t.Errorf("list: %v", err)
		}
	}

	if _, err := orders.DeleteOne(t.Context(), bson.D{{Key: "ticket", Value: twice}}); err != nil {
		t.Fatal(err)
	}
	spawn.Until(t, "reservations go on", func() bool {
		return db.Orders().Commit(t.Context(), reservation(objectid.New())) == nil && db.Ping(t.Context()) == nil
	})
}

// Case 10.4: what was sold is not known any more.
func TestADroppedCollectionOfOrdersSuspendsReservationsUntilTheNextStart(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	uri := set.URI(name)
	db := open(t, uri, mongodb.Options{})
	sold := objectid.New()
	if err := db.Orders().Commit(t.Context(), reservation(sold)); err != nil {
		t.Fatal(err)
	}
	if err := set.Client().Database(name).Collection("orders").Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	dbs := []*mongodb.DB{db}
	counts := buyAll(t, dbs, []string{sold, objectid.New()})
	for i := range counts {
		if n := counts[i].Load(); n != 0 {
			t.Errorf("a ticket was sold %d times out of an empty collection", n)
		}
	}
	if err := db.Ping(t.Context()); !errors.Is(err, mongodb.ErrSetUp) || !strings.Contains(err.Error(), "collection orders of database "+name+" was dropped, renamed or replaced") {
		t.Errorf("ping: %v", err)
	}
	for _, err := range db.Orders().Orders(t.Context(), "bob") {
		t.Errorf("list: %v", err)
	}
	again := open(t, uri, mongodb.Options{})
	if err := again.Orders().Commit(t.Context(), reservation(objectid.New())); err != nil {
		t.Errorf("after the next start: %v", err)
	}
}

// Case 10.4: lists answer at once, and the indexes are there again.
func TestListsOutliveTheirIndexes(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	create(t.Context(), t, db)
	if err := db.Orders().Commit(t.Context(), reservation(objectid.New())); err != nil {
		t.Fatal(err)
	}
	for list, read := range map[string]func(context.Context) error{
		"free tickets": func(ctx context.Context) (err error) {
			for _, err = range db.Tickets().Free(ctx) {
			}
			return err
		},
		"orders of a user": func(ctx context.Context) (err error) {
			for _, err = range db.Orders().Orders(ctx, "bob") {
			}
			return err
		},
		"rows": func(ctx context.Context) error {
			_, err := db.Replica().Count(ctx)
			return err
		},
		"events of a key": func(ctx context.Context) error {
			_, err := db.Outbox().Key(ctx, "k", event.None, 10)
			return err
		},
	} {
		data := set.Client().Database(name)
		for _, c := range []string{"tickets", "orders", "replica", "events"} {
			if err := data.Collection(c).Indexes().DropAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := read(t.Context()); err != nil {
			t.Errorf("%s: %v", list, err)
		}
		for c, want := range map[string]string{"tickets": "byHolder", "orders": "active", "replica": "byDeletion", "events": "byKey"} {
			if names := indexNames(t, data.Collection(c)); !strings.Contains(names, want) {
				t.Errorf("after %s, %s has the indexes %s", list, c, names)
			}
		}
	}
}

// Case 10.4: a collection that was renamed, and gets its name back. An empty one
// in its place would be in the way, and take what belongs to the old one.
func TestARenamedCollectionIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, collection := range []string{"tickets", "locks", "orders", "payments"} {
		t.Run(collection, func(t *testing.T) {
			t.Parallel()
			set := mongotest.Shared(t)
			name := set.Database(t)
			db := open(t, set.URI(name), mongodb.Options{})
			spawn.Background(t, db.Keep)
			sold := objectid.New()
			if err := db.Orders().Commit(t.Context(), reservation(sold)); err != nil {
				t.Fatal(err)
			}
			rename := func(from, to string) {
				t.Helper()
				command := bson.D{{Key: "renameCollection", Value: name + "." + from}, {Key: "to", Value: name + "." + to}}
				if err := set.Client().Database("admin").RunCommand(t.Context(), command).Err(); err != nil {
					t.Fatal(err)
				}
			}
			rename(collection, "away")
			spawn.Until(t, "it is noticed", func() bool {
				err := db.Ping(t.Context())
				return errors.Is(err, mongodb.ErrSetUp) && strings.Contains(err.Error(), "collection "+collection+" of database "+name)
			})
			made := &ticket.Ticket{ID: objectid.New(), Title: "a chair", Price: 1, UserID: "ann"}
			if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: made}); collection == "tickets" && !errors.Is(err, group.ErrRefused) {
				t.Errorf("a ticket meanwhile: %v, want a refusal", err)
			}
			if err := db.Orders().Commit(t.Context(), reservation(sold)); err == nil {
				t.Error("a ticket was sold twice")
			}
			rename("away", collection)
			spawn.Until(t, "all is well", func() bool {
				return db.Ping(t.Context()) == nil && db.Orders().Commit(t.Context(), reservation(objectid.New())) == nil
			})
			if err := db.Orders().Commit(t.Context(), reservation(sold)); !errors.Is(err, order.ErrReserved) {
				t.Errorf("one more buyer: %v, want %v", err, order.ErrReserved)
			}
		})
	}
}

// Case 10.4: whichever collection and index it is, while the service runs.
func TestWhatIsDroppedIsMadeAgainOrMissed(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	names := func(database string) (all []string) {
		t.Helper()
		collections, err := set.Client().Database(database).ListCollectionNames(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range collections {
			for i := range strings.FieldsSeq(indexNames(t, set.Client().Database(database).Collection(c))) {
				all = append(all, c+"."+i)
			}
		}
		slices.Sort(all)
		return all
	}
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	whole := names(name)
	for _, full := range whole {
		collection, index, _ := strings.Cut(full, ".")
		data := set.Client().Database(name).Collection(collection)
		var err error
		if index != "_id_" {
			err = data.Indexes().DropOne(t.Context(), index)
		} else if slices.Contains([]string{"tickets", "locks", "orders", "payments"}, collection) {
			continue // TestARenamedCollectionIsTakenBack
		} else {
			err = data.Drop(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := mongodb.Restore(db, t.Context()); err != nil {
			t.Errorf("%s was dropped: %v", full, err)
		}
		if diff := cmp.Diff(whole, names(name)); diff != "" {
			t.Errorf("%s was dropped (-want +got):\n%s", full, diff)
		}
	}
	if err := set.Client().Database(name).Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := mongodb.Restore(db, t.Context()); !errors.Is(err, mongodb.ErrSetUp) || strings.Count(err.Error(), "was dropped, renamed or replaced") != 4 {
		t.Errorf("the database was dropped: %v", err)
	}
}
