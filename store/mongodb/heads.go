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
	failed := bson.D{{Key: "isLocked", Value: false}, {Key: "notBefore", Value: is("$lte", now)}}
	return append(failedHeads(failed),
		bson.D{{Key: "$limit", Value: limit}},
		bson.D{{Key: "$unset", Value: "older"}})
}

// blockedPipeline counts the keys whose head has failed.
func blockedPipeline() mongo.Pipeline {
	return append(failedHeads(is("isLocked", false)), is("$count", "count"))
}

// failedHeads finds failed events, those first whose retry comes first, that
// no older version of their key precedes.
func failedHeads(failed bson.D) mongo.Pipeline {
	older := mongo.Pipeline{
		is("$match", is("$expr", is("$and", bson.A{
			is("$eq", bson.A{"$key", "$$key"}), is("$lt", bson.A{"$version", "$$version"}),
		}))),
		is("$limit", 1),
		is("$project", is("_id", 1)),
	}
	return mongo.Pipeline{
		is("$match", failed),
		is("$sort", asc("notBefore")),
		is("$lookup", bson.D{
			{Key: "from", Value: eventsName},
			{Key: "let", Value: bson.D{{Key: "key", Value: "$key"}, {Key: "version", Value: "$version"}}},
			{Key: "pipeline", Value: older},
			{Key: "as", Value: "older"},
		}),
		is("$match", is("older", bson.A{})),
	}
}

// Stale implements outbox.Store.
func (s *Outbox) Stale(ctx context.Context, before time.Time, limit int) ([]outbox.Record, error) {
	cursor, err := s.events().Aggregate(ctx, stalePipeline(before, limit), options.Aggregate().SetHint(byKey))
	if err != nil {
		return nil, err
	}
	type head struct {
		ID string `bson:"id"`
	}
	ids, err := drain(ctx, cursor, func(h head) string { return h.ID })
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return list(ctx, s.events(), is("_id", is("$in", ids)), eventDoc.record, options.Find().SetSort(asc("lockedAt", "_id")))
}

// stalePipeline steps through the index from key to key: its cost is the
// number of keys, however many events wait.
func stalePipeline(before time.Time, limit int) mongo.Pipeline {
	first := func(field string) bson.D { return is("$first", "$"+field) }
	return mongo.Pipeline{
		is("$sort", asc("key", "version")),
		is("$group", bson.D{
			{Key: "_id", Value: "$key"}, {Key: "id", Value: first("_id")},
			{Key: "isLocked", Value: first("isLocked")}, {Key: "lockedAt", Value: first("lockedAt")},
		}),
		is("$match", bson.D{{Key: "isLocked", Value: true}, {Key: "lockedAt", Value: is("$lt", before)}}),
		is("$limit", limit),
	}
}
