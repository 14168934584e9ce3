package mongodb

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/outbox"
)

// Due implements outbox.Store. Failed events are few and have an index of
// their own; whether an older version waits is told by the index on keys.
func (s *Outbox) Due(ctx context.Context, now time.Time, limit int) ([]outbox.Record, error) {
	cursor, err := s.events().Aggregate(ctx, duePipeline(now, limit), options.Aggregate().SetHint(byDue))
	if err != nil {
		return nil, err
	}
	return drain(ctx, cursor, eventDoc.record)
}

func duePipeline(now time.Time, limit int) mongo.Pipeline {
	older := mongo.Pipeline{
		{{Key: "$match", Value: is("$expr", is("$and", bson.A{
			is("$eq", bson.A{"$key", "$$key"}), is("$lt", bson.A{"$version", "$$version"}),
		}))}},
		{{Key: "$limit", Value: 1}},
		{{Key: "$project", Value: is("_id", 1)}},
	}
	return mongo.Pipeline{
		{{Key: "$match", Value: bson.D{{Key: "isLocked", Value: false}, {Key: "notBefore", Value: is("$lte", now)}}}},
		{{Key: "$sort", Value: asc("notBefore")}},
		{{Key: "$lookup", Value: bson.D{
			{Key: "from", Value: eventsName},
			{Key: "let", Value: bson.D{{Key: "key", Value: "$key"}, {Key: "version", Value: "$version"}}},
			{Key: "pipeline", Value: older},
			{Key: "as", Value: "older"},
		}}},
		{{Key: "$match", Value: is("older", bson.A{})}},
		{{Key: "$limit", Value: limit}},
		{{Key: "$unset", Value: "older"}},
	}
}

// Stale implements outbox.Store.
func (s *Outbox) Stale(ctx context.Context, before time.Time, limit int) ([]outbox.Record, error) {
	old := bson.D{{Key: "isLocked", Value: true}, {Key: "lockedAt", Value: is("$lt", before)}}
	heads, err := s.heads(ctx, old, mongo.Pipeline{{{Key: "$limit", Value: limit}}})
	if err != nil || len(heads) == 0 {
		return nil, err
	}
	ids := make([]string, len(heads))
	for i, h := range heads {
		ids[i] = h.ID
	}
	return list(ctx, s.events(), is("_id", is("$in", ids)), eventDoc.record, options.Find().SetSort(asc("lockedAt", "_id")))
}

// head is the oldest event of a key.
type head struct {
	ID    string `bson:"id"`
	Count int    `bson:"count"`
}

// heads returns the heads that have the condition, after further stages.
func (s *Outbox) heads(ctx context.Context, condition bson.D, then mongo.Pipeline) ([]head, error) {
	cursor, err := s.events().Aggregate(ctx, headsPipeline(condition, then), options.Aggregate().SetHint(byKey))
	if err != nil {
		return nil, err
	}
	return drain(ctx, cursor, func(h head) head { return h })
}

// headsPipeline steps through the index from key to key: its cost is the
// number of keys, however many events wait.
func headsPipeline(condition bson.D, then mongo.Pipeline) mongo.Pipeline {
	first := func(field string) bson.D { return is("$first", "$"+field) }
	return append(mongo.Pipeline{
		{{Key: "$sort", Value: asc("key", "version")}},
		{{Key: "$group", Value: bson.D{
			{Key: "_id", Value: "$key"}, {Key: "id", Value: first("_id")},
			{Key: "isLocked", Value: first("isLocked")}, {Key: "lockedAt", Value: first("lockedAt")},
		}}},
		{{Key: "$match", Value: condition}},
	}, then...)
}
