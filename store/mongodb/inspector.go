package mongodb

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/outbox"
)

var _ outbox.Inspector = (*Outbox)(nil)

// Stats implements outbox.Inspector. The oldest event is the one that was
// stored first.
func (s *Outbox) Stats(ctx context.Context) (outbox.Stats, error) {
	var stats outbox.Stats
	pending, err := s.events().size(ctx)
	if err != nil {
		return stats, err
	}
	if stats.Pending = pending; pending == 0 {
		return stats, nil
	}
	if stats.Unreadable, err = s.unreadable(ctx); err != nil {
		return stats, err
	}
	if stats.Oldest, err = s.Oldest(ctx); err != nil {
		return stats, err
	}
	stats.BlockedKeys, err = s.blocked(ctx)
	return stats, err
}

// unreadable counts the entries that are no events: it looks for them now and
// then, and notices others as they come.
func (s *Outbox) unreadable(ctx context.Context) (int, error) {
	return s.db.foreign.Count(func(limit int) (found []outbox.Unreadable, err error) {
		err = s.foreign(ctx, bson.D{}, limit, func(doc bson.Raw) {
			if r := entry(doc); r.Unreadable != nil {
				found = append(found, *r.Unreadable)
			}
		})
		return found, err
	}, func(ids []string) (left []string, err error) {
		all := bson.A{}
		for _, id := range ids {
			all = append(all, idsOf(id)...)
		}
		err = s.foreign(ctx, is("_id", is("$in", all)), len(all), func(doc bson.Raw) { left = append(left, printID(doc.Lookup("_id"))) })
		return left, err
	})
}

// foreign calls each with what filter finds that is no event, in as little of it
// as says so.
func (s *Outbox) foreign(ctx context.Context, filter bson.D, limit int, each func(bson.Raw)) error {
	body := is("$cond", bson.A{is("$in", bson.A{is("$type", "$payload"), bson.A{"string", "binData"}}), "", false})
	cursor, err := s.events().Aggregate(ctx, mongo.Pipeline{
		is("$match", append(slices.Clone(filter), bson.E{Key: "$expr", Value: is("$not", bson.A{readable()})})),
		is("$limit", limit),
		is("$project", append(asc("key", "version", "subject", "isLocked"), bson.E{Key: "payload", Value: body})),
	})
	if err != nil {
		return err
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server ends forgotten cursors itself
	for cursor.Next(ctx) {
		each(cursor.Current)
	}
	return cursor.Err()
}

// blocked counts the keys whose head has failed.
func (s *Outbox) blocked(ctx context.Context) (int, error) {
	cursor, err := s.events().Aggregate(ctx, blockedPipeline(), options.Aggregate().SetHint(byFailures))
	if err != nil {
		return 0, err
	}
	type keys struct {
		Count int `bson:"count"`
	}
	counts, err := drain(ctx, cursor, func(k keys) int { return k.Count })
	if err != nil || len(counts) == 0 {
		return 0, err
	}
	return counts[0], nil
}

// List implements outbox.Inspector.
func (s *Outbox) List(ctx context.Context, after string, limit int) (found []outbox.Record, err error) {
	behind, o := bson.D{}, options.Find().SetSort(asc("_id")).SetHint(asc("_id")).SetLimit(int64(limit))
	if after != "" {
		ids := idsOf(after)
		last := ids[len(ids)-1]
		behind = is("_id", is("$ne", last))
		o.SetMin(is("_id", last)) // $gt keeps to ids of one type
	}
	cursor, err := s.events().find(ctx, behind, o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server ends forgotten cursors itself
	for size := 0; size < pageBytes && cursor.Next(ctx); {
		r := entry(cursor.Current)
		size += len(cursor.Current) - len(r.Payload)
		r.Payload = nil
		found = append(found, r)
	}
	return found, cursor.Err()
}

// Record implements outbox.Inspector.
func (s *Outbox) Record(ctx context.Context, id string) (outbox.Record, error) {
	raw, err := one[bson.Raw](ctx, s.events(), is("_id", is("$in", idsOf(id))), outbox.ErrNotFound)
	if err != nil {
		return outbox.Record{}, err
	}
	return entry(raw), nil
}

// Retry implements outbox.Inspector.
func (s *Outbox) Retry(ctx context.Context, id string, now time.Time) error {
	result, err := s.events().UpdateOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "$expr", Value: readable()}}, bson.D{
		{Key: "$set", Value: bson.D{{Key: "isLocked", Value: false}, {Key: "notBefore", Value: instant(now)}}},
		{Key: "$unset", Value: is("lockedAt", "")},
	})
	if err == nil && result.MatchedCount == 0 {
		err = outbox.ErrNotFound
	}
	return err
}

// Discard implements outbox.Inspector.
func (s *Outbox) Discard(ctx context.Context, id string) error {
	result, err := s.events().DeleteOne(ctx, is("_id", is("$in", idsOf(id))))
	if err == nil && result.DeletedCount == 0 {
		err = outbox.ErrNotFound
	}
	return err
}
