package mongodb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
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
	if err := db.Ping(t.Context()); !errors.Is(err, mongodb.ErrSetUp) || !strings.Contains(err.Error(), "collection orders of database "+name+" was dropped or replaced") {
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

// Case 10.4: an index that only has the right name.
func TestAnIndexThatIsNotUniqueIsNoticed(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	orders := set.Client().Database(name).Collection("orders")
	if err := orders.Indexes().DropOne(t.Context(), "active"); err != nil {
		t.Fatal(err)
	}
	makeIndex(t, orders, "active", bson.D{{Key: "ticket", Value: 1}})
	if err := mongodb.Restore(db, t.Context()); !errors.Is(err, mongodb.ErrSetUp) {
		t.Errorf("look: %v, want %v", err, mongodb.ErrSetUp)
	}
	if err := db.Orders().Commit(t.Context(), reservation(objectid.New())); !errors.Is(err, order.ErrSuspended) {
		t.Errorf("reservation: %v, want %v", err, order.ErrSuspended)
	}
	if err := db.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "another index in the place of") {
		t.Errorf("ping: %v", err)
	}
}
