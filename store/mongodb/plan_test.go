package mongodb_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

const (
	planKeys     = 50
	planVersions = 100 // of each key; all of them wait
	planFailed   = 20  // keys whose head has failed
)

// backlog fills an outbox and fails the heads of some keys.
func backlog(t *testing.T, db *mongodb.DB) {
	t.Helper()
	for k := range planKeys {
		var c ticket.Change
		for v := range int64(planVersions) {
			c.Events = append(c.Events, fact(fmt.Sprintf("%024x", k), v))
		}
		if err := db.Tickets().Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for k := range planFailed {
		id := fact(fmt.Sprintf("%024x", k), 0).ID()
		f := outbox.Failure{At: time.Now(), Class: outbox.Unconfirmed, Message: "no answer"}
		if _, err := db.Outbox().Fail(t.Context(), id, f, time.Now().Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

func fact(key string, version int64) event.Event {
	return event.Event{
		Key: key, Version: version, Subject: event.TicketUpdated, Payload: []byte(`{}`), OccurredAt: time.Now().UTC().Truncate(time.Millisecond),
	}
}

// TestHeadsAreFoundWithoutReadingTheBacklog holds the plans of the
// queries to their cost: what they examine is what they return, or the number
// of keys, never the number of events that wait.
func TestHeadsAreFoundWithoutReadingTheBacklog(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	backlog(t, open(t, set.URI(name), mongodb.Options{}))
	data := set.Client().Database(name)
	for query, tc := range map[string]struct {
		pipeline mongo.Pipeline
		hint     string
		docs     int64 // examined at most
		keys     int64
		stages   []string
	}{
		"blocked": {mongodb.BlockedPipeline(), "byFailures", planFailed, planFailed, []string{"IXSCAN"}},
		"due":     {mongodb.DuePipeline(time.Now(), time.Now().Add(time.Hour), 500), "byDue", planFailed, planFailed, []string{"IXSCAN"}},
		"hidden":  {mongodb.HiddenPipeline(time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), 250), "byDue", planFailed, planFailed, []string{"IXSCAN"}},
		"stale":   {mongodb.StalePipeline(bson.D{{Key: "$gte", Value: ""}}, time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), 500), "byKey", 0, planKeys + 1, []string{"DISTINCT_SCAN"}},
	} {
		t.Run(query, func(t *testing.T) {
			plan := explain(t, data, tc.pipeline, tc.hint)
			text := plan.String()
			if strings.Contains(text, `"COLLSCAN"`) {
				t.Errorf("the query scans the whole collection: %s", text)
			}
			for _, stage := range tc.stages {
				if !strings.Contains(text, `"`+stage+`"`) {
					t.Errorf("the plan has no %s: %s", stage, text)
				}
			}
			docs, keys := sum(plan, "totalDocsExamined"), sum(plan, "totalKeysExamined")
			t.Logf("%d documents and %d keys examined of %d events", docs, keys, planKeys*planVersions)
			if docs > tc.docs || keys > 2*tc.keys {
				t.Errorf("examined %d documents and %d keys of %d events, want about %d and %d",
					docs, keys, planKeys*planVersions, tc.docs, tc.keys)
			}
		})
	}
}

// TestAPageExaminesWhatItReturns: one record of many is asked for to see whether
// there are any, ten times a second under a flood of early messages. Case 11.4.
func TestAPageExaminesWhatItReturns(t *testing.T) {
	t.Parallel()
	const stored, limit = 5_000, 3
	set := mongotest.Shared(t)
	name := set.Database(t)
	db, data := open(t, set.URI(name), mongodb.Options{}), set.Client().Database(name)
	var docs []bson.M
	for range stored {
		docs = append(docs, bson.M{"_id": bson.NewObjectID(), "title": "a chair", "price": 5, "userId": "u", "version": 0})
	}
	if _, err := data.Collection("tickets").InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	if err := data.RunCommand(t.Context(), bson.D{{Key: "profile", Value: 2}}).Err(); err != nil {
		t.Fatal(err)
	}
	found, err := db.Tickets().Page(t.Context(), "", limit)
	if err != nil || len(found) != limit {
		t.Fatalf("%d tickets, %v", len(found), err)
	}
	cursor, err := data.Collection("system.profile").Find(t.Context(), bson.D{{Key: "ns", Value: name + ".tickets"}})
	if err != nil {
		t.Fatal(err)
	}
	var profiled []struct {
		Docs int `bson:"docsExamined"`
		Keys int `bson:"keysExamined"`
	}
	if err := cursor.All(t.Context(), &profiled); err != nil {
		t.Fatal(err)
	}
	examined := 0
	for _, q := range profiled {
		examined += q.Docs + q.Keys
	}
	if len(profiled) == 0 || examined > 10*limit {
		t.Errorf("%d documents and keys were examined by %d queries for %d of %d tickets", examined, len(profiled), limit, stored)
	}
}

// TestASoldTicketCostsNoLookAtItsOrder beyond which one has it: of what is looked
// at for wrong locks, most is sold, and right. Case 11.4.
func TestASoldTicketCostsNoLookAtItsOrder(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db, data := open(t, set.URI(name), mongodb.Options{}), set.Client().Database(name)
	ids := []string{objectid.New(), objectid.New()}
	for i, id := range ids {
		c := reservation(id)
		c.Now.Status = order.Complete
		row := replica.Row{ID: id, Title: "a chair", Price: 5}
		if i == 0 {
			row.OrderID = c.Now.ID
		}
		if err := db.Orders().Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Replica().Write(t.Context(), []replica.Write{{From: event.None, Row: row}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := data.RunCommand(t.Context(), bson.D{{Key: "profile", Value: 2}}).Err(); err != nil {
		t.Fatal(err)
	}
	for of, want := range map[string]int64{ids[0]: 1, ids[1]: 2} { // questions about orders
		before := questions(t, data, name+".orders")
		locks, err := db.OrderTickets().Locks(t.Context(), []string{of})
		if n := questions(t, data, name+".orders") - before; err != nil || n != want || len(locks) != int(want)-1 {
			t.Errorf("%d questions about orders and %d wrong locks, %v; want %d and %d", n, len(locks), err, want, want-1)
		}
	}
}

func questions(t *testing.T, data *mongo.Database, of string) int64 {
	t.Helper()
	n, err := data.Collection("system.profile").CountDocuments(t.Context(), bson.D{{Key: "ns", Value: of}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func explain(t *testing.T, data *mongo.Database, pipeline mongo.Pipeline, hint string) bson.Raw {
	t.Helper()
	aggregate := bson.D{{Key: "aggregate", Value: "events"}, {Key: "pipeline", Value: pipeline}, {Key: "cursor", Value: bson.D{}}, {Key: "hint", Value: hint}}
	plan, err := data.RunCommand(t.Context(), bson.D{{Key: "explain", Value: aggregate}, {Key: "verbosity", Value: "executionStats"}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// sum adds up a number wherever it is in the document.
func sum(doc bson.Raw, field string) (total int64) {
	elements, err := doc.Elements()
	if err != nil {
		return 0
	}
	for _, e := range elements {
		v := e.Value()
		if e.Key() == field {
			n, _ := v.AsInt64OK() // a number wherever the server writes it
			total += n
		}
		switch v.Type {
		case bson.TypeEmbeddedDocument:
			total += sum(v.Document(), field)
		case bson.TypeArray:
			total += sum(bson.Raw(v.Array()), field)
		}
	}
	return total
}
