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
	"lockstep/incident"
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

// Case 10.7: what no part of the program reads makes nothing unreadable; what
// only it writes is read as it writes it.
func TestFieldsThatNobodyReadsAreNotRead(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	data := set.Client().Database(name)
	id := bson.NewObjectID()
	doc := append(bson.D{{Key: "_id", Value: id}, {Key: "createdAt", Value: bson.A{"noon"}}, {Key: "rev", Value: "3"}, {Key: "orderId", Value: ""}}, canonicalTicket...)
	if _, err := data.Collection("tickets").InsertOne(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	var free []ticket.Ticket
	for f, err := range db.Tickets().Free(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		free = append(free, f)
	}
	if len(free) != 1 || free[0].ID != id.Hex() {
		t.Fatalf("free tickets %+v, want %s", free, id.Hex())
	}
	if err := db.Tickets().Commit(t.Context(), edit(free[0])); err != nil {
		t.Errorf("edit of a ticket whose revision is a text: %v", err)
	}
	for _, deleted := range []any{1, "true", bson.D{}} {
		id := bson.NewObjectID()
		for _, c := range []string{"tickets", "replica"} {
			if _, err := data.Collection(c).InsertOne(t.Context(), append(bson.D{{Key: "_id", Value: id}, {Key: "deleted", Value: deleted}}, canonicalTicket...)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := db.Tickets().Ticket(t.Context(), id.Hex())
		wantErr(t, err, ticket.ErrUnreadable)
		_, err = db.OrderTickets().Ticket(t.Context(), id.Hex())
		wantErr(t, err, order.ErrUnreadable)
	}
}

// Case 10.7: one foreign document keeps no service from starting, and no
// incident from being counted.
func TestForeignDocumentsKeepNothingFromStarting(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	data := set.Client().Database(name)
	insert := func(c string, docs ...any) {
		t.Helper()
		if _, err := data.Collection(c).InsertMany(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []any{"dear", nil, bson.A{1}, bson.D{}, true, math.NaN()} {
		insert("quarantine", bson.D{{Key: "reason", Value: "too_early"}, {Key: "version", Value: version}, {Key: "payload", Value: 7}})
	}
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	when := time.Now()
	known := incident.Incident{ID: "1", Cause: incident.BrokerLoss, Service: "s", Subject: "s", Opened: when, Raised: when, Count: 1}
	if err := db.Incidents().Write(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	for i, cause := range []any{5, nil, bson.D{}, "unknown"} {
		insert("incidents", bson.D{{Key: "key", Value: i}, {Key: "cause", Value: cause}, {Key: "open", Value: true}, {Key: "rev", Value: 1}})
	}
	counts, err := db.Incidents().Counts(t.Context())
	if err != nil || counts[incident.BrokerLoss] != 1 {
		t.Errorf("incidents %v, %v", counts, err)
	}
	all, err := db.Incidents().List(t.Context(), incident.Query{Limit: 10})
	if err != nil || len(all) != 1 || all[0].ID != "1" {
		t.Errorf("incidents %+v, %v, want the one with a text as its id", all, err)
	}
}

// Case 10.7: a negative version is none, and neither is a status that the index of active orders does not see.
func TestNegativeVersionsAndUnknownStatusesAreUnreadable(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	data := set.Client().Database(name)
	for _, version := range []any{-1, int64(math.MinInt64), float64(1<<53 + 2), -0.5, "-1", decimal(t, "1.5"), math.Inf(1), true, bson.A{1}} {
		id := bson.NewObjectID()
		for c, doc := range map[string]bson.D{"tickets": canonicalTicket, "replica": nodeCopy} {
			if _, err := data.Collection(c).InsertOne(t.Context(), append(bson.D{{Key: "_id", Value: id}}, with(doc, "version", version)...)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := db.Tickets().Ticket(t.Context(), id.Hex())
		wantErr(t, err, ticket.ErrUnreadable)
		row := replica.Row{ID: id.Hex(), Version: 3, Title: "b", Price: 2}
		if n, err := db.Replica().Write(t.Context(), []replica.Write{{Row: row, Unreadable: true}}); n != 1 || err != nil {
			t.Errorf("version %v: %d rows were overwritten, %v", version, n, err)
		}
		if got, err := db.Replica().Row(t.Context(), id.Hex()); err != nil || got != row {
			t.Errorf("version %v: row %+v, %v", version, got, err)
		}
	}
	for _, status := range []any{nil, "", "paid", bson.Binary{Data: []byte("created")}, 1} {
		id := bson.NewObjectID()
		if _, err := data.Collection("orders").InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}, {Key: "status", Value: status}, {Key: "ticket", Value: id}}); err != nil {
			t.Fatal(err)
		}
		_, err := db.Orders().Order(t.Context(), id.Hex())
		wantErr(t, err, order.ErrUnreadable)
	}
}

// Case 10.7: of a field that is there twice the server takes one, the driver the
// other: an edit would be refused for ever, or show what was not written.
func TestADocumentWithAFieldTwiceIsUnreadable(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	data := set.Client().Database(name)
	for _, field := range []string{"version", "price", "title"} {
		id := bson.NewObjectID()
		for c, doc := range map[string]bson.D{"tickets": canonicalTicket, "replica": nodeCopy} {
			twice := append(bson.D{{Key: "_id", Value: id}, {Key: field, Value: 7}}, doc...)
			if _, err := data.Collection(c).InsertOne(t.Context(), twice); err != nil {
				t.Fatal(err)
			}
		}
		_, err := db.Tickets().Ticket(t.Context(), id.Hex())
		wantErr(t, err, ticket.ErrUnreadable)
		row := replica.Row{ID: id.Hex(), Version: 3, Title: "b", Price: 2}
		if n, err := db.Replica().Write(t.Context(), []replica.Write{{Row: row, Unreadable: true}}); n != 1 || err != nil {
			t.Errorf("%s twice: %d rows were overwritten, %v", field, n, err)
		}
		if got, err := db.Replica().Row(t.Context(), id.Hex()); err != nil || got != row {
			t.Errorf("%s twice: row %+v, %v", field, got, err)
		}
	}
}
