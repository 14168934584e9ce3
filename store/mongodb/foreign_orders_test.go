package mongodb_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"lockstep/order"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// Case 10.7: an overdue order is found whatever type its time has, and one that
// does not say when it ends is found and not taken for overdue.
func TestOverdueOrdersOfForeignTimesAreFound(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	now := time.Now()
	past, future := now.Add(-time.Hour).UTC().Truncate(time.Millisecond), now.Add(time.Hour)
	want := map[string]time.Time{}
	for _, c := range []struct {
		expiresAt any
		want      time.Time
		isFound   bool
	}{
		{past, past, true},
		{past.Format(time.RFC3339Nano), past, true},
		{past.UnixMilli(), past, true},
		{float64(past.UnixMilli()), past, true},
		{nil, time.Time{}, true},
		{bson.Null{}, time.Time{}, true},
		{"tomorrow", time.Time{}, true},
		{math.NaN(), time.Time{}, true},
		{true, time.Time{}, true},
		{bson.D{{Key: "at", Value: past}}, time.Time{}, true},
		{future, time.Time{}, false},
		{future.Format(time.RFC3339Nano), time.Time{}, false},
		{future.UnixMilli(), time.Time{}, false},
	} {
		id := bson.NewObjectID()
		doc := with(bson.D{{Key: "_id", Value: id}, {Key: "userId", Value: "bob"}, {Key: "status", Value: "created"}, {Key: "version", Value: 0},
			{Key: "ticket", Value: bson.NewObjectID()}}, "expiresAt", c.expiresAt)
		if _, err := set.Client().Database(name).Collection("orders").InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
		if c.isFound {
			want[id.Hex()] = c.want
		}
	}
	got := map[string]time.Time{}
	for d, err := range db.Orders().Expired(t.Context(), now) {
		if err != nil {
			t.Fatal(err)
		}
		got[d.OrderID] = d.ExpiresAt
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("overdue orders (-want +got):\n%s", diff)
	}
}

// Case 10.7: the list of a user has what a single read gives them.
func TestOrdersOfForeignUserIDsAreListed(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	bob := bson.NewObjectID()
	for _, c := range []struct {
		userID any
		reads  string
	}{{bob, bob.Hex()}, {bob.Hex(), bob.Hex()}, {7, "7"}, {7.0, "7"}, {"7", "7"}} {
		doc := bson.D{{Key: "userId", Value: c.userID}, {Key: "status", Value: "created"}, {Key: "ticket", Value: bson.NewObjectID()}, {Key: "createdAt", Value: "noon"}}
		if _, err := set.Client().Database(name).Collection("orders").InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
	for user, want := range map[string]int{bob.Hex(): 2, "7": 3, "07": 0} {
		n := 0
		for o, err := range db.Orders().Orders(t.Context(), user) {
			if n++; err != nil || o.UserID != user {
				t.Errorf("order %+v, %v", o, err)
			}
		}
		if n != want {
			t.Errorf("%d orders of %s, want %d", n, user, want)
		}
	}
}

// Case 10.4: the unique index takes the text of an ObjectId for another ticket.
func TestATicketIsNotSoldBesideAnOrderThatNamesItInAText(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	orders := set.Client().Database(name).Collection("orders")
	taken, free := bson.NewObjectID().Hex(), bson.NewObjectID().Hex()
	foreign := bson.NewObjectID()
	if _, err := orders.InsertOne(t.Context(), bson.D{{Key: "_id", Value: foreign}, {Key: "userId", Value: "bob"}, {Key: "status", Value: "complete"}, {Key: "ticket", Value: taken}}); err != nil {
		t.Fatal(err)
	}
	buy := func(ticketID string) error {
		now := order.Order{ID: bson.NewObjectID().Hex(), UserID: "ann", Status: order.Created, TicketID: ticketID, ExpiresAt: time.Now()}
		return db.Orders().Commit(t.Context(), order.Change{Now: now})
	}
	var all errgroup.Group
	for range 8 {
		all.Go(func() error { return buy(bson.NewObjectID().Hex()) })
		all.Go(func() error {
			if err := buy(taken); !errors.Is(err, order.ErrReserved) {
				return fmt.Errorf("a sold ticket: %w", err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	if err := buy(free); err != nil {
		t.Error(err)
	}
	if o, err := db.Orders().Order(t.Context(), foreign.Hex()); err != nil || o.TicketID != taken {
		t.Errorf("order %+v, %v", o, err)
	}
}

// Case 10.4: the tickets that are sold twice are named whatever their ids are.
func TestSoldTwiceNamesTicketsOfAnyID(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	orders := set.Client().Database(name).Collection("orders")
	for _, ticketID := range []any{nil, 7, "t"} {
		for range 2 {
			if _, err := orders.InsertOne(t.Context(), bson.D{{Key: "status", Value: "created"}, {Key: "ticket", Value: ticketID}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := mongodb.Open(t.Context(), set.URI(name), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "several active orders (null, {\"$numberInt\":\"7\"}, t)") {
		t.Errorf("open: %v, want the tickets to be named", err)
	}
}
