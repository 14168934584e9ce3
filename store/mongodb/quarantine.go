package mongodb

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/event"
	"lockstep/listeners"
)

// Quarantine is the collection of messages that were set aside.
type Quarantine struct{ db *DB }

var _ listeners.Quarantine = (*Quarantine)(nil)

// Quarantine returns the port of package listeners.
func (db *DB) Quarantine() *Quarantine { return &Quarantine{db} }

func (s *Quarantine) messages() collection { return s.db.collection(quarantineName) }

// quarantineDoc is a message as it lies in the database.
type quarantineDoc struct {
	ID       string           `bson:"_id"`
	Group    string           `bson:"queueGroup"`
	Subject  event.Subject    `bson:"subject"`
	Sequence int64            `bson:"sequence"`
	Key      payload          `bson:"key"` // text, but nothing checked it
	Version  int64            `bson:"version"`
	Payload  payload          `bson:"payload"`
	Reason   listeners.Reason `bson:"reason"`
	Detail   payload          `bson:"detail"` // may quote what is no text
	At       time.Time        `bson:"at"`
}

func (d quarantineDoc) message() listeners.Quarantined {
	return listeners.Quarantined{
		ID: d.ID, Group: d.Group, Subject: d.Subject, Sequence: uint64(d.Sequence), Key: string(d.Key), Version: d.Version,
		Payload: d.Payload, Reason: d.Reason, Detail: string(d.Detail), At: d.At.UTC(),
	}
}

// Put implements listeners.Quarantine.
func (s *Quarantine) Put(ctx context.Context, q listeners.Quarantined) error {
	_, err := s.messages().InsertOne(ctx, quarantineDoc{
		ID: q.ID, Group: q.Group, Subject: q.Subject, Sequence: int64(q.Sequence), Key: payload(q.Key), Version: q.Version,
		Payload: q.Payload, Reason: q.Reason, Detail: payload(q.Detail), At: instant(q.At),
	})
	if mongo.IsDuplicateKeyError(err) {
		return nil
	}
	return err
}

// List implements listeners.Quarantine.
func (s *Quarantine) List(ctx context.Context, after string, limit int) ([]listeners.Quarantined, error) {
	return first(ctx, s.messages(), is("_id", is("$gt", after)), quarantineDoc.message, limit, options.Find().SetSort(asc("_id")))
}

// OfKey implements listeners.Quarantine.
func (s *Quarantine) OfKey(ctx context.Context, key string, limit int) ([]listeners.Quarantined, error) {
	filter := bson.D{{Key: "key", Value: payload(key)}, {Key: "reason", Value: listeners.TooEarly}}
	return first(ctx, s.messages(), filter, quarantineDoc.message, limit, options.Find().SetSort(asc("version", "_id")))
}

// Get implements listeners.Quarantine.
func (s *Quarantine) Get(ctx context.Context, id string) (listeners.Quarantined, error) {
	d, err := one[quarantineDoc](ctx, s.messages(), is("_id", id), listeners.ErrNotFound)
	if err != nil {
		return listeners.Quarantined{}, err
	}
	return d.message(), nil
}

// Remove implements listeners.Quarantine.
func (s *Quarantine) Remove(ctx context.Context, id string) error {
	result, err := s.messages().DeleteOne(ctx, is("_id", id))
	if err == nil && result.DeletedCount == 0 {
		err = listeners.ErrNotFound
	}
	return err
}

// Count implements listeners.Quarantine.
func (s *Quarantine) Count(ctx context.Context) (int, error) {
	n, err := s.messages().CountDocuments(ctx, bson.D{}, options.Count().SetHint("_id_"))
	return int(n), err
}
