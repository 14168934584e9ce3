package mongodb_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/event"
	"lockstep/order"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

func decimal(t *testing.T, s string) bson.Decimal128 {
	t.Helper()
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// with returns d with one field replaced; a nil value takes the field away.
func with(d bson.D, field string, value any) bson.D {
	var out bson.D
	for _, e := range d {
		if e.Key != field {
			out = append(out, e)
		}
	}
	if value == nil {
		return out
	}
	return append(out, bson.E{Key: field, Value: value})
}

// Case 10.7: what mongoose would cast is cast, and stays writable.
func TestDocumentsAreReadAsMongooseCastsThem(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	tickets := set.Client().Database(name).Collection("tickets")
	owner := bson.NewObjectID()
	for what, c := range map[string]struct {
		doc  bson.D
		want ticket.Ticket
	}{
		"price in digits":   {with(canonicalTicket, "price", "20.5"), ticket.Ticket{Title: "a", Price: 20.5, UserID: "ann"}},
		"price as Decimal":  {with(canonicalTicket, "price", decimal(t, "20.5")), ticket.Ticket{Title: "a", Price: 20.5, UserID: "ann"}},
		"price as Long":     {with(canonicalTicket, "price", int64(20)), ticket.Ticket{Title: "a", Price: 20, UserID: "ann"}},
		"owner an ObjectId": {with(canonicalTicket, "userId", owner), ticket.Ticket{Title: "a", Price: 1, UserID: owner.Hex()}},
		"title a number":    {with(canonicalTicket, "title", 7), ticket.Ticket{Title: "7", Price: 1, UserID: "ann"}},
		"no version":        {with(canonicalTicket, "version", nil), ticket.Ticket{Title: "a", Price: 1, UserID: "ann"}},
		"version null":      {with(canonicalTicket, "version", bson.Null{}), ticket.Ticket{Title: "a", Price: 1, UserID: "ann"}},
		"version in digits": {with(canonicalTicket, "version", "3"), ticket.Ticket{Title: "a", Price: 1, UserID: "ann", Version: 3}},
		"version a Double":  {with(canonicalTicket, "version", 3.0), ticket.Ticket{Title: "a", Price: 1, UserID: "ann", Version: 3}},
		"version a Decimal": {with(canonicalTicket, "version", decimal(t, "3")), ticket.Ticket{Title: "a", Price: 1, UserID: "ann", Version: 3}},
	} {
		t.Run(what, func(t *testing.T) {
			id := bson.NewObjectID()
			if _, err := tickets.InsertOne(t.Context(), append(bson.D{{Key: "_id", Value: id}}, c.doc...)); err != nil {
				t.Fatal(err)
			}
			c.want.ID = id.Hex()
			got, err := db.Tickets().Ticket(t.Context(), id.Hex())
			if err != nil || got != c.want {
				t.Fatalf("ticket %+v, %v, want %+v", got, err, c.want)
			}
			if err := db.Tickets().Commit(t.Context(), edit(got)); err != nil {
				t.Errorf("edit: %v", err)
			}
		})
	}
}

// Case 10.7: what cannot be read breaks no list and no page, is counted, and is
// named once.
func TestUnreadableDocumentsAreLeftOut(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Registerer: registry})
	data := set.Client().Database(name)
	const bad, good = 40, 10
	anOrder := bson.D{
		{Key: "userId", Value: "bob"}, {Key: "status", Value: "created"}, {Key: "version", Value: 0},
		{Key: "expiresAt", Value: time.Now().Add(-time.Hour)}, {Key: "createdAt", Value: time.Now()},
	}
	var first bson.ObjectID
	for i := range bad + good {
		for c, doc := range map[string]bson.D{
			"tickets": canonicalTicket, "replica": nodeCopy, "orders": with(anOrder, "ticket", bson.NewObjectID()),
		} {
			id := bson.NewObjectID()
			if i < bad { // these come first by id and by time
				doc = with(doc, "price", []any{math.NaN(), "dear", bson.A{1}, bson.D{}}[i%4])
				first = id
			}
			if _, err := data.Collection(c).InsertOne(t.Context(), append(bson.D{{Key: "_id", Value: id}}, doc...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func(what string, n int, err error) {
		if err != nil || n != good {
			t.Errorf("%s: %d, %v, want %d", what, n, err, good)
		}
	}
	for range 2 {
		n := 0
		for _, err := range db.Tickets().Free(t.Context()) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		count("free tickets", n, nil)
		n = 0
		for _, err := range db.Orders().Orders(t.Context(), "bob") {
			if n++; err != nil {
				t.Error(err)
			}
		}
		count("orders of a user", n, nil)
		n = 0
		for _, err := range db.Orders().Expired(t.Context(), time.Now()) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if n != bad+good {
			t.Errorf("%d overdue orders, want %d: nothing but the id is needed", n, bad+good)
		}
		tickets, err := db.Tickets().Page(t.Context(), "", good)
		count("page of tickets", len(tickets), err)
		orders, err := db.Orders().Page(t.Context(), "", good)
		count("page of orders", len(orders), err)
		rows, err := db.Replica().Page(t.Context(), "", good)
		count("page of rows", len(rows), err)
	}
	if n := strings.Count(log.String(), "cannot be read"); n != 3*bad {
		t.Errorf("%d lines in the log, want one for each of %d documents", n, 3*bad)
	}
	if !strings.Contains(log.String(), first.Hex()) {
		t.Errorf("the log does not name %s", first.Hex())
	}
	want := ""
	for c, n := range map[string]int{
		"events": 0, "incidents": 0, "leases": 0, "locks": 0, "marks": 0, "orders": bad, "payments": 0, "quarantine": 0, "replica": bad, "tickets": bad,
	} {
		want += fmt.Sprintf("lockstep_store_unreadable_records{table=%q} %d\n", c, n)
	}
	want = "# HELP lockstep_store_unreadable_records Records that were met in the last ten minutes and left out, for they cannot be read; the log names them.\n" +
		"# TYPE lockstep_store_unreadable_records gauge\n" + want
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "lockstep_store_unreadable_records"); err != nil {
		t.Error(err)
	}
}

// Case 10.7: a single read says what is wrong.
func TestAnUnreadableDocumentIsNotNotFound(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	data := set.Client().Database(name)
	id := bson.NewObjectID()
	for _, c := range []string{"tickets", "replica", "orders"} {
		doc := bson.D{{Key: "_id", Value: id}, {Key: "price", Value: math.NaN()}, {Key: "ticket", Value: bson.NewObjectID()}}
		if _, err := data.Collection(c).InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
	_, ticketErr := db.Tickets().Ticket(t.Context(), id.Hex())
	_, orderErr := db.Orders().Order(t.Context(), id.Hex())
	_, rowErr := db.Replica().Row(t.Context(), id.Hex())
	_, copyErr := db.OrderTickets().Ticket(t.Context(), id.Hex())
	for _, e := range []struct{ got, want error }{
		{ticketErr, ticket.ErrUnreadable}, {orderErr, order.ErrUnreadable}, {rowErr, replica.ErrUnreadable}, {copyErr, order.ErrUnreadable},
	} {
		wantErr(t, e.got, e.want)
	}
}

// Case 10.2: the version of a row that mongoose would count on from.
func TestRowsOfOldVersionsAreWritten(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	rows := set.Client().Database(name).Collection("replica")
	ids := map[string]bool{}
	var changes []event.TicketChange
	var docs []bson.D
	for _, version := range []any{nil, bson.Null{}, "0", int32(0), 0.0, decimal(t, "0")} {
		doc := with(nodeCopy, "version", version)
		id := bson.NewObjectID()
		docs = append(docs, append(bson.D{{Key: "_id", Value: id}}, doc...))
		ids[id.Hex()] = true
		changes = append(changes, event.TicketChange{Ticket: event.Ticket{ID: id.Hex(), Version: 1, Title: "b", Price: 2}})
	}
	for _, d := range docs {
		if _, err := rows.InsertOne(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	outcomes, err := replica.NewProjector(db.Replica()).Apply(t.Context(), changes)
	for i, o := range outcomes {
		if o != event.Applied {
			t.Errorf("%v: %v", docs[i], o)
		}
	}
	if err != nil || len(outcomes) != len(changes) {
		t.Errorf("apply: %v", err)
	}
	for id := range ids {
		if row, err := db.Replica().Row(t.Context(), id); err != nil || row.Version != 1 || row.Price != 2 {
			t.Errorf("row %+v, %v", row, err)
		}
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
}
