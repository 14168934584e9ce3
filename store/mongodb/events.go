package mongodb

import (
	"time"

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
