package mongodb_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/event"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

// What one member on one machine cannot show, because its clock is ours and it
// is its own majority, is read from the commands themselves.

// wire records the commands of a store.
type wire struct {
	mu       sync.Mutex
	commands []bson.Raw
}

func (w *wire) record(_ context.Context, e *driver.CommandStartedEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commands = append(w.commands, append(bson.Raw{}, e.Command...))
}

// named returns the commands of a name, on a collection if one is given.
func (w *wire) named(name, collection string) []bson.Raw {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []bson.Raw
	for _, c := range w.commands {
		on, _ := c.Lookup(name).StringValueOK()
		if _, err := c.LookupErr(name); err == nil && (collection == "" || on == collection) {
			all = append(all, c)
		}
	}
	return all
}

// monitored opens a store whose URI asks for less than it needs.
func monitored(t *testing.T) (*wire, *mongodb.DB) {
	t.Helper()
	set := mongotest.Shared(t)
	w := &wire{}
	uri := set.URI(set.Database(t)) + "&w=1&readConcernLevel=local&readPreference=secondaryPreferred&retryWrites=false"
	db, err := mongodb.OpenMonitored(t.Context(), uri, mongodb.Options{}, &driver.CommandMonitor{Started: w.record})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, db
}

func text(c bson.Raw, path ...string) string {
	v, err := c.LookupErr(path...)
	if err != nil {
		return ""
	}
	s, _ := v.StringValueOK() // "" if it is none
	return s
}

func TestEveryWriteWaitsForTheMajority(t *testing.T) {
	t.Parallel()
	w, db := monitored(t)
	made := create(t.Context(), t, db)
	id := fact(made.ID, 0).ID()
	o := db.Outbox()
	l, _, err := o.Acquire(t.Context(), "outbox", "me", time.Minute)
	must(t, err)
	must(t, o.Renew(t.Context(), l, time.Minute))
	_, err = o.Fail(t.Context(), id, outbox.Failure{At: time.Now()}, time.Now())
	must(t, err)
	_, err = o.Relock(t.Context(), []string{id}, time.Now())
	must(t, err)
	must(t, o.Retry(t.Context(), id, time.Now()))
	must(t, o.Delete(t.Context(), []outbox.Ref{outbox.Record{Event: fact(made.ID, 0)}.Ref()}))
	_, err = db.Replica().Write(t.Context(), []replica.Write{{From: event.None, Row: replica.Row{ID: made.ID}}})
	must(t, err)
	must(t, db.Quarantine().Put(t.Context(), []listeners.Quarantined{{ID: "q"}}))
	_, err = db.Marks().Store(t.Context(), listeners.Mark{Group: "g", Sequence: 1})
	must(t, err)

	seen := 0
	for _, name := range []string{"insert", "update", "delete", "findAndModify", "commitTransaction"} {
		for _, c := range w.named(name, "") {
			if _, err := c.LookupErr("startTransaction"); err == nil || name != "commitTransaction" && inTransaction(c) {
				continue // the commit speaks for these
			}
			seen++
			if got := text(c, "writeConcern", "w"); got != "majority" {
				t.Errorf("%s has write concern %q: %s", name, got, c)
			}
		}
	}
	if seen < 10 {
		t.Errorf("saw %d writes, want all of them", seen)
	}
}

func inTransaction(c bson.Raw) bool {
	v, err := c.LookupErr("autocommit")
	return err == nil && !v.Boolean()
}

func TestEveryReadIsOfTheMajority(t *testing.T) {
	t.Parallel()
	w, db := monitored(t)
	o := db.Outbox()
	_, err := o.Due(t.Context(), time.Now(), time.Now(), 1)
	must(t, err)
	_, err = o.Stale(t.Context(), time.Now(), time.Now(), 1)
	must(t, err)
	_, err = o.Key(t.Context(), "k", 0, 1)
	must(t, err)
	_, err = o.Stats(t.Context())
	must(t, err)
	for _, name := range []string{"find", "aggregate"} {
		for _, c := range w.named(name, "events") {
			if got := text(c, "readConcern", "level"); got != "majority" {
				t.Errorf("%s has read concern %q: %s", name, got, c)
			}
			if mode := text(c, "$readPreference", "mode"); mode != "" && mode != "primary" {
				t.Errorf("%s reads from %s", name, mode)
			}
		}
	}
}

// TestTheScanHasSeenTheStreamsStart ties three commands together: the moment
// that the ping tells is where the stream starts, and the scan has seen it.
func TestTheScanHasSeenTheStreamsStart(t *testing.T) {
	t.Parallel()
	w, db := monitored(t)
	create(t.Context(), t, db)
	tail := openTail(t, db)
	_, err := tail.Scan(t.Context(), 10)
	must(t, err)

	streams := w.named("aggregate", "events")
	pipeline, _ := streams[len(streams)-1].Lookup("pipeline").ArrayOK()
	stage, err := bson.Raw(pipeline).LookupErr("0", "$changeStream", "startAtOperationTime")
	if err != nil {
		t.Fatalf("the stream has no start: %v", err)
	}
	start := stamp(stage)
	scans := w.named("find", "events")
	seen, err := scans[len(scans)-1].LookupErr("readConcern", "afterClusterTime")
	if err != nil {
		t.Fatalf("the scan may be older than the stream: %v", err)
	}
	if after := stamp(seen); after.T < start.T || after.T == start.T && after.I < start.I {
		t.Errorf("the scan has seen %v, the stream starts at %v", after, start)
	}
}

func stamp(v bson.RawValue) (s bson.Timestamp) {
	s.T, s.I, _ = v.TimestampOK() // zero if it is none
	return s
}

func TestLeasesKnowNoClockButTheServers(t *testing.T) {
	t.Parallel()
	w, db := monitored(t)
	l, ok, err := db.Outbox().Acquire(t.Context(), "outbox", "me", time.Minute)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	must(t, db.Outbox().Renew(t.Context(), l, time.Minute))
	for _, c := range append(w.named("findAndModify", "leases"), w.named("update", "leases")...) {
		if s := c.String(); strings.Contains(s, "$date") || !strings.Contains(s, "$$NOW") {
			t.Errorf("a lease is asked for with a clock of ours: %s", s)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDocumentsCanBeReadInAShell holds the documents to the field names and
// types that people, and the Node services, find there.
func TestDocumentsCanBeReadInAShell(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	made := create(t.Context(), t, db)
	now := made
	now.Version, now.OrderID = 1, "6b0300000000000000000001"
	must(t, db.Tickets().Commit(t.Context(), ticket.Change{Was: &made, Now: &now}))
	for collection, want := range map[string]map[string]bson.Type{
		"tickets": {
			"_id": bson.TypeObjectID, "title": bson.TypeString, "price": bson.TypeDouble, "userId": bson.TypeString,
			"version": bson.TypeInt64, "orderId": bson.TypeString, "createdAt": bson.TypeDateTime, "rev": bson.TypeInt64,
		},
		"events": {
			"_id": bson.TypeString, "key": bson.TypeString, "version": bson.TypeInt64, "subject": bson.TypeString,
			"payload": bson.TypeString, "occurredAt": bson.TypeDateTime, "isLocked": bson.TypeBoolean, "lockedAt": bson.TypeDateTime,
			"failureCount": bson.TypeInt32, "failures": bson.TypeArray,
		},
	} {
		doc, err := set.Client().Database(name).Collection(collection).FindOne(t.Context(), bson.D{}).Raw()
		must(t, err)
		elements, err := doc.Elements()
		must(t, err)
		if len(elements) != len(want) {
			t.Errorf("%s: a document has %d fields, want %d: %s", collection, len(elements), len(want), doc)
		}
		for field, typ := range want {
			if got := doc.Lookup(field).Type; got != typ {
				t.Errorf("%s: %s is a %s, want %s", collection, field, got, typ)
			}
		}
	}
}
