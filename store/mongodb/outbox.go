package mongodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/outbox"
)

// maxRounds bounds how often a read is followed by a conditional write that
// somebody else was faster than.
const maxRounds = 16

// Outbox is the collection of events that wait to be published, and of the
// leases on it.
type Outbox struct{ db *DB }

var _ outbox.Store = (*Outbox)(nil)

// Outbox returns the ports of package outbox.
func (db *DB) Outbox() *Outbox { return &Outbox{db} }

// find returns the events that filter finds, as many as make a page.
func (s *Outbox) find(ctx context.Context, filter bson.D, o ...options.Lister[options.FindOptions]) ([]outbox.Record, error) {
	cursor, err := s.events().find(ctx, filter, o...)
	if err != nil {
		return nil, err
	}
	return s.page(ctx, cursor)
}

// page reads events from a cursor, as many as make a page, and closes it.
func (s *Outbox) page(ctx context.Context, cursor *mongo.Cursor) (found []outbox.Record, err error) {
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server ends forgotten cursors itself
	for size := 0; size < outbox.PageBytes && cursor.Next(ctx); size += len(cursor.Current) {
		found = append(found, s.db.readable([]bson.Raw{cursor.Current})...)
	}
	return found, cursor.Err()
}

func (s *Outbox) events() collection { return s.db.collection(eventsName) }

// Oldest implements outbox.Store.
func (s *Outbox) Oldest(ctx context.Context) (time.Time, error) {
	first, err := one[bson.Raw](ctx, s.events(), is("$expr", readable()), outbox.ErrNotFound, options.FindOne().SetSort(is("$natural", 1)))
	if errors.Is(err, outbox.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	if at := date(first, "occurredAt"); !at.IsZero() {
		return at, nil
	}
	return time.UnixMilli(1).UTC(), nil // nobody knows
}

// Key implements outbox.Store.
func (s *Outbox) Key(ctx context.Context, key string, after int64, limit int) ([]outbox.Record, error) {
	filter := bson.D{{Key: "key", Value: key}, {Key: "version", Value: is("$gt", after)}, {Key: "$expr", Value: readable()}}
	return s.find(ctx, filter, options.Find().SetSort(asc("key", "version", "_id")).SetHint(byKey).SetLimit(int64(limit)))
}

// Delete implements outbox.Store.
func (s *Outbox) Delete(ctx context.Context, refs []outbox.Ref) error {
	if len(refs) == 0 {
		return nil
	}
	ids := make([]string, len(refs))
	for i, r := range refs {
		ids[i] = r.ID()
	}
	_, err := s.events().DeleteMany(ctx, is("_id", is("$in", ids)))
	return err
}

// Fail implements outbox.Store.
func (s *Outbox) Fail(ctx context.Context, id string, f outbox.Failure, notBefore time.Time) (outbox.Record, error) {
	f.At = instant(f.At)
	for range maxRounds {
		was, err := one[bson.Raw](ctx, s.events(), is("_id", id), outbox.ErrNotFound)
		if err != nil {
			return outbox.Record{}, err
		}
		now := entry(was)
		if now.Unreadable != nil {
			return outbox.Record{}, outbox.ErrNotFound
		}
		count := is("$eq", nil) // matches what is not there
		if v := was.Lookup("failureCount"); !v.IsZero() {
			count = is("$eq", v)
		}
		now.Failures = now.Failures.Add(f)
		now.Locked, now.LockedAt, now.NotBefore = false, time.Time{}, instant(notBefore)
		result, err := s.events().UpdateOne(ctx,
			bson.D{{Key: "_id", Value: id}, {Key: "failureCount", Value: count}},
			bson.D{
				{Key: "$set", Value: bson.D{
					{Key: "isLocked", Value: false}, {Key: "notBefore", Value: now.NotBefore},
					{Key: "failureCount", Value: now.Failures.Total}, {Key: "failures", Value: failureDocs(now.Failures.Kept)},
				}},
				{Key: "$unset", Value: is("lockedAt", "")},
			})
		if err != nil {
			return outbox.Record{}, err
		}
		if result.MatchedCount == 1 {
			return now, nil
		}
	}
	return outbox.Record{}, fmt.Errorf("failure of event %s: somebody else was faster %d times", id, maxRounds)
}

// Relock implements outbox.Store.
func (s *Outbox) Relock(ctx context.Context, ids []string, at time.Time) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	these := is("_id", is("$in", ids))
	_, err := s.events().UpdateMany(ctx, these, bson.D{
		{Key: "$set", Value: bson.D{{Key: "isLocked", Value: true}, {Key: "lockedAt", Value: instant(at)}}},
		{Key: "$unset", Value: is("notBefore", "")},
	})
	if err != nil {
		return nil, err
	}
	type locked struct {
		ID string `bson:"_id"`
	}
	return list(ctx, s.events(), these, func(l locked) string { return l.ID }, options.Find().SetProjection(is("_id", 1)))
}
