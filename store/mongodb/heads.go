package mongodb

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/event"
	"lockstep/outbox"
)

// Due implements outbox.Store. Failed events are few and have an index of
// their own; whether an older version waits is told by the index on keys.
func (s *Outbox) Due(ctx context.Context, now, latest time.Time, limit int) ([]outbox.Record, error) {
	cursor, err := s.events().Aggregate(ctx, duePipeline(now, latest, limit), options.Aggregate().SetHint(byDue))
	if err != nil {
		return nil, err
	}
	return s.page(ctx, cursor)
}

func duePipeline(now, latest time.Time, limit int) mongo.Pipeline {
	waits := bson.D{{Key: "$gt", Value: now}, {Key: "$lte", Value: latest}}
	failed := bson.D{{Key: "isLocked", Value: false}, {Key: "notBefore", Value: is("$not", waits)}}
	return append(failedHeads(failed),
		bson.D{{Key: "$limit", Value: limit}},
		bson.D{{Key: "$unset", Value: "older"}})
}

// blockedPipeline counts the keys whose head has failed, also while it is tried
// again.
func blockedPipeline() mongo.Pipeline {
	return append(failedHeads(is("failureCount", is("$gt", 0))), is("$limit", exactly), is("$count", "count"))
}

// failedHeads finds failed events, those first whose retry comes first, that
// no older version of their key precedes.
func failedHeads(failed bson.D) mongo.Pipeline {
	older := mongo.Pipeline{
		is("$match", is("$expr", is("$and", bson.A{
			is("$eq", bson.A{"$key", "$$key"}), is("$lt", bson.A{"$version", "$$version"}), readable(),
		}))),
		is("$limit", 1),
		is("$project", is("_id", 1)),
	}
	return mongo.Pipeline{
		is("$match", failed),
		is("$match", is("$expr", readable())),
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

// head is the first entry of a key, event or not.
type head struct {
	ID  bson.RawValue `bson:"id"`
	Key bson.RawValue `bson:"_id"`
}

// Stale implements outbox.Store. Half a page is for what is hidden behind entries
// that are no events and not locked: to the index they are heads like those that
// failed.
func (s *Outbox) Stale(ctx context.Context, before, latest time.Time, limit int) ([]outbox.Record, error) {
	cursor, err := s.events().Aggregate(ctx, hiddenPipeline(before, latest, max(1, limit/2)), options.Aggregate().SetHint(byDue))
	if err != nil {
		return nil, err
	}
	hidden, err := s.page(ctx, cursor)
	if limit -= len(hidden); err != nil || limit == 0 {
		return hidden, err
	}
	heads, err := s.staleHeads(ctx, before, latest, limit)
	if err != nil {
		return nil, err
	}
	for _, h := range hidden {
		if !slices.ContainsFunc(heads, func(r outbox.Record) bool { return r.Key == h.Key }) {
			heads = append(heads, h)
		}
	}
	return heads, nil
}

// hiddenPipeline finds stale events of keys that have an entry which is no event
// and not locked. There are few, and the index of what failed has them.
func hiddenPipeline(before, latest time.Time, limit int) mongo.Pipeline {
	first := mongo.Pipeline{
		is("$match", is("$expr", is("$and", bson.A{is("$eq", bson.A{"$key", "$$key"}), readable()}))),
		is("$sort", asc("version")),
		is("$limit", 1),
	}
	return mongo.Pipeline{
		is("$match", is("isLocked", false)),
		is("$match", is("$expr", is("$not", bson.A{readable()}))),
		is("$group", is("_id", "$key")),
		is("$sort", asc("_id")),
		is("$lookup", bson.D{
			{Key: "from", Value: eventsName}, {Key: "let", Value: is("key", "$_id")}, {Key: "pipeline", Value: first}, {Key: "as", Value: "first"},
		}),
		is("$unwind", "$first"),
		is("$replaceRoot", is("newRoot", "$first")),
		is("$match", lockedOutside(before, latest)),
		is("$limit", limit),
	}
}

// lockedOutside matches what is locked, and not since a time between the two.
func lockedOutside(before, latest time.Time) bson.D {
	return bson.D{
		{Key: "isLocked", Value: is("$ne", false)},
		{Key: "lockedAt", Value: is("$not", bson.D{{Key: "$gte", Value: before}, {Key: "$lte", Value: latest}})},
	}
}

// staleHeads returns stale events that the index shows to be the first of their
// keys, or to be behind what can be none. Behind a page of keys of which none has
// a stale event there may be others.
func (s *Outbox) staleHeads(ctx context.Context, before, latest time.Time, limit int) ([]outbox.Record, error) {
	for from := is("$gte", ""); ; {
		cursor, err := s.events().Aggregate(ctx, stalePipeline(from, before, latest, limit), options.Aggregate().SetHint(byKey))
		if err != nil {
			return nil, err
		}
		heads, err := drain(ctx, cursor, func(h head) head { return h })
		if err != nil || len(heads) == 0 {
			return nil, err
		}
		found, err := s.behind(ctx, heads, before, latest)
		if err != nil || len(found) > 0 || len(heads) < limit {
			return found, err
		}
		last, ok := heads[len(heads)-1].Key.StringValueOK()
		if !ok {
			return nil, nil // an array of texts, which the server sorts behind all texts
		}
		from = is("$gt", last)
	}
}

// behind returns the stale events among heads, and behind those of them that are
// no events.
func (s *Outbox) behind(ctx context.Context, heads []head, before, latest time.Time) ([]outbox.Record, error) {
	ids := make(bson.A, len(heads))
	for i, h := range heads {
		ids[i] = h.ID
	}
	found, err := s.find(ctx, is("_id", is("$in", ids)), options.Find().SetSort(asc("lockedAt", "_id")))
	if err != nil || len(found) == len(heads) {
		return found, err
	}
	known, size := map[string]bool{}, 0
	for _, r := range found {
		known[r.Key] = true
		size += len(r.Payload)
	}
	for _, h := range heads { // behind what is no event there may be a head that is one
		key, ok := h.Key.StringValueOK()
		if !ok || known[key] {
			continue
		}
		if size >= outbox.PageBytes {
			break
		}
		first, err := s.Key(ctx, key, event.None, 1)
		if err != nil {
			return nil, err
		}
		if len(first) > 0 && first[0].Locked && (first[0].LockedAt.Before(before) || first[0].LockedAt.After(latest)) {
			found, size = append(found, first[0]), size+len(first[0].Payload)
		}
	}
	return found, nil
}

// stalePipeline steps through the index from key to key: its cost is the
// number of keys, however many events wait.
func stalePipeline(from bson.D, before, latest time.Time, limit int) mongo.Pipeline {
	first := func(field string) bson.D { return is("$first", "$"+field) }
	return mongo.Pipeline{
		is("$match", is("key", from)),
		is("$sort", asc("key", "version")),
		is("$group", bson.D{
			{Key: "_id", Value: "$key"}, {Key: "id", Value: first("_id")},
			{Key: "version", Value: first("version")},
			{Key: "isLocked", Value: first("isLocked")}, {Key: "lockedAt", Value: first("lockedAt")},
		}),
		is("$match", is("$or", bson.A{
			lockedOutside(before, latest),
			is("version", is("$not", bson.D{{Key: "$gte", Value: event.First}, {Key: "$lte", Value: event.MaxVersion}})),
		})),
		is("$sort", asc("_id")),
		is("$limit", limit),
	}
}
