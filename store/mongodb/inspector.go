package mongodb

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/outbox"
)

var _ outbox.Inspector = (*Outbox)(nil)

// Stats implements outbox.Inspector. The oldest event is the one that was
// stored first.
func (s *Outbox) Stats(ctx context.Context) (outbox.Stats, error) {
	pending, err := s.events().CountDocuments(ctx, bson.D{}, options.Count().SetHint("_id_"))
	if err != nil {
		return outbox.Stats{}, err
	}
	oldest, err := one[eventDoc](ctx, s.events(), bson.D{}, outbox.ErrNotFound, options.FindOne().SetSort(is("$natural", 1)))
	if err != nil && !errors.Is(err, outbox.ErrNotFound) {
		return outbox.Stats{}, err
	}
	stats := outbox.Stats{Pending: int(pending), Oldest: oldest.OccurredAt.UTC()}
	stats.BlockedKeys, err = s.blocked(ctx)
	return stats, err
}

// blocked counts the keys whose head has failed.
func (s *Outbox) blocked(ctx context.Context) (int, error) {
	cursor, err := s.events().Aggregate(ctx, blockedPipeline(), options.Aggregate().SetHint(byDue))
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
func (s *Outbox) List(ctx context.Context, after string, limit int) ([]outbox.Record, error) {
	return list(ctx, s.events(), is("_id", is("$gt", after)), eventDoc.record, options.Find().SetSort(asc("_id")).SetLimit(int64(limit)))
}

// Record implements outbox.Inspector.
func (s *Outbox) Record(ctx context.Context, id string) (outbox.Record, error) {
	d, err := one[eventDoc](ctx, s.events(), is("_id", id), outbox.ErrNotFound)
	if err != nil {
		return outbox.Record{}, err
	}
	return d.record(), nil
}

// Retry implements outbox.Inspector.
func (s *Outbox) Retry(ctx context.Context, id string, now time.Time) error {
	result, err := s.events().UpdateOne(ctx, is("_id", id), bson.D{
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
	result, err := s.events().DeleteOne(ctx, is("_id", id))
	if err == nil && result.DeletedCount == 0 {
		err = outbox.ErrNotFound
	}
	return err
}
