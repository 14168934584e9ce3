package mongodb

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/event"
	"lockstep/outbox"
)

// eventDoc is a record of the outbox as it lies in the database.
type eventDoc struct {
	ID           string        `bson:"_id"` // key:version:subject
	Key          string        `bson:"key"`
	Version      int64         `bson:"version"`
	Subject      event.Subject `bson:"subject"`
	Payload      payload       `bson:"payload"`
	OccurredAt   time.Time     `bson:"occurredAt"`
	Locked       bool          `bson:"isLocked"`
	LockedAt     time.Time     `bson:"lockedAt,omitempty"`
	NotBefore    time.Time     `bson:"notBefore,omitempty"`
	FailureCount int           `bson:"failureCount"`
	Failures     []failureDoc  `bson:"failures"` // never null
}

type failureDoc struct {
	At      time.Time    `bson:"at"`
	Attempt int          `bson:"attempt"`
	Class   outbox.Class `bson:"class"`
	Message string       `bson:"message"`
}

// newEventDoc returns an event as it enters the outbox.
func newEventDoc(e event.Event, lockedAt time.Time) eventDoc {
	return eventDoc{
		ID: e.ID(), Key: e.Key, Version: e.Version, Subject: e.Subject, Payload: e.Payload,
		OccurredAt: instant(e.OccurredAt), Locked: true, LockedAt: lockedAt, Failures: []failureDoc{},
	}
}

func (d eventDoc) record() outbox.Record {
	r := outbox.Record{
		Event: event.Event{
			Key: d.Key, Version: d.Version, Subject: d.Subject, Payload: d.Payload, OccurredAt: d.OccurredAt.UTC(),
		},
		Locked: d.Locked, LockedAt: d.LockedAt.UTC(), NotBefore: d.NotBefore.UTC(),
		Failures: outbox.Failures{Total: d.FailureCount, Kept: make([]outbox.Failure, len(d.Failures))},
	}
	for i, f := range d.Failures {
		r.Failures.Kept[i] = outbox.Failure{At: f.At.UTC(), Attempt: f.Attempt, Class: f.Class, Message: f.Message}
	}
	return r
}

func failureDocs(kept []outbox.Failure) []failureDoc {
	docs := make([]failureDoc, len(kept))
	for i, f := range kept {
		docs[i] = failureDoc{At: instant(f.At), Attempt: f.Attempt, Class: f.Class, Message: f.Message}
	}
	return docs
}

// decodeEvent reads a document of the collection, whoever wrote it. What an
// event is published by must be there; whatever else is missing or odd reads as
// nothing: no time, no failures. readable says the same to the server.
func decodeEvent(raw bson.Raw) (outbox.Record, error) {
	var d eventDoc
	var ok bool
	if d.Key, ok = raw.Lookup("key").StringValueOK(); !ok {
		return outbox.Record{}, errors.New("key is no string")
	}
	if d.Version, ok = whole(raw.Lookup("version")); !ok || d.Version < event.First || d.Version > event.MaxVersion {
		return outbox.Record{}, errors.New("version is no whole number from 0 to 2^53")
	}
	subject, ok := raw.Lookup("subject").StringValueOK()
	if d.Subject = event.Subject(subject); !ok {
		return outbox.Record{}, errors.New("subject is no string")
	}
	body := raw.Lookup("payload")
	if err := d.Payload.UnmarshalBSONValue(byte(body.Type), body.Value); err != nil {
		return outbox.Record{}, errors.New("payload is neither string nor binary")
	}
	if d.Locked, ok = locked(raw.Lookup("isLocked")); !ok {
		return outbox.Record{}, errors.New("isLocked is no boolean")
	}
	r := d.record()
	if id, _ := raw.Lookup("_id").StringValueOK(); id != r.ID() {
		return outbox.Record{}, fmt.Errorf("_id is not key:version:subject, which is %q", r.ID())
	}
	r.OccurredAt, r.LockedAt, r.NotBefore = date(raw, "occurredAt"), date(raw, "lockedAt"), date(raw, "notBefore")
	total, _ := whole(raw.Lookup("failureCount"))
	r.Failures = outbox.Failures{Total: int(min(max(total, 0), math.MaxInt32)), Kept: decodeFailures(raw.Lookup("failures"))}
	return r, nil
}

func whole(v bson.RawValue) (int64, bool) {
	if f, ok := v.DoubleOK(); ok && (f != math.Trunc(f) || math.Abs(f) > 1<<53) {
		return 0, false
	}
	return v.AsInt64OK()
}

// locked reads isLocked; an event that was never anything else is locked.
func locked(v bson.RawValue) (is, ok bool) {
	if v.IsZero() || v.Type == bson.TypeNull || v.Type == bson.TypeUndefined {
		return true, true
	}
	return v.BooleanOK()
}

// date returns a time, the zero one if the field is none.
func date(raw bson.Raw, field string) time.Time {
	if t, ok := raw.Lookup(field).TimeOK(); ok {
		return t.UTC()
	}
	return time.Time{}
}

func decodeFailures(v bson.RawValue) []outbox.Failure {
	kept := []outbox.Failure{}
	all, ok := v.ArrayOK()
	if !ok {
		return kept
	}
	values, _ := all.Values() // what cannot be read is no history
	for _, v := range values {
		var f failureDoc
		if bson.Unmarshal(v.Value, &f) == nil && v.Type == bson.TypeEmbeddedDocument {
			kept = append(kept, outbox.Failure{At: f.At.UTC(), Attempt: f.Attempt, Class: f.Class, Message: f.Message})
		}
	}
	return kept
}

// readable is an expression for the documents that decodeEvent reads. It fails
// on no document.
func readable() bson.D {
	ofType := func(field string, types ...string) bson.D {
		return is("$in", bson.A{is("$type", "$"+field), types})
	}
	text := func(field string) bson.D { return is("$cond", bson.A{ofType(field, "string"), "$" + field, nil}) }
	version := is("$convert", bson.D{{Key: "input", Value: "$version"}, {Key: "to", Value: "long"}, {Key: "onError", Value: nil}, {Key: "onNull", Value: nil}})
	return is("$and", bson.A{
		ofType("version", "int", "long", "double"),
		is("$eq", bson.A{"$version", version}),
		is("$gte", bson.A{"$version", event.First}),
		is("$lte", bson.A{"$version", event.MaxVersion}),
		ofType("payload", "string", "binData"),
		ofType("isLocked", "bool", "missing", "null", "undefined"),
		is("$eq", bson.A{"$_id", is("$concat", bson.A{text("key"), ":", is("$toString", version), ":", text("subject")})}),
	})
}

// entry returns what lies in the collection, read or not.
func entry(raw bson.Raw) outbox.Record {
	r, err := decodeEvent(raw)
	if err == nil {
		return r
	}
	return outbox.Record{Unreadable: &outbox.Unreadable{ID: printID(raw.Lookup("_id")), Why: err.Error()}}
}

// printID returns an _id of any type as people can read and type it; idsOf
// reverses it.
func printID(v bson.RawValue) string {
	if s, ok := v.StringValueOK(); ok {
		return s
	}
	if o, ok := v.ObjectIDOK(); ok {
		return o.Hex()
	}
	return v.String() // extended JSON
}

// idsOf returns every _id that printID prints as id.
func idsOf(id string) bson.A {
	all := bson.A{id}
	if o, err := bson.ObjectIDFromHex(id); err == nil {
		all = append(all, o)
	}
	var other struct{ V bson.RawValue }
	if strings.HasPrefix(id, "{") && bson.UnmarshalExtJSON([]byte(`{"v":`+id+`}`), false, &other) == nil {
		all = append(all, other.V)
	}
	return all
}

// readable returns those of the documents that are events and remembers the
// others.
func (db *DB) readable(docs []bson.Raw) []outbox.Record {
	records := make([]outbox.Record, 0, len(docs))
	for _, raw := range docs {
		r := entry(raw)
		if r.Unreadable != nil {
			db.foreign.Add(*r.Unreadable)
			continue
		}
		records = append(records, r)
	}
	return records
}
