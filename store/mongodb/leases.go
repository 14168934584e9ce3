package mongodb

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/outbox"
)

var _ outbox.Leases = (*Outbox)(nil)

func (s *Outbox) leases() collection { return s.db.collection(leasesName) }

// leaseDoc is a lease by its name. Only the server's clock is asked whether it
// has run out.
type leaseDoc struct {
	Name  string    `bson:"_id"`
	Owner string    `bson:"owner"`
	Epoch int64     `bson:"epoch"` // never falls
	Until time.Time `bson:"until"`

	Settled bool `bson:"settled"` // outbox.Lease.Settled
}

// Acquire implements outbox.Leases.
func (s *Outbox) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (outbox.Lease, bool, error) {
	l, ok, err := s.take(ctx, name, owner, ttl)
	if err != nil || ok {
		return l, ok, err
	}
	// Servers refuse an upsert on their clock, so a lease that nobody ever had
	// is put there first. If it is there, somebody holds it.
	_, err = s.leases().InsertOne(ctx, leaseDoc{Name: name, Until: time.UnixMilli(0)})
	if mongo.IsDuplicateKeyError(err) {
		return outbox.Lease{}, false, nil
	}
	if err != nil {
		return outbox.Lease{}, false, err
	}
	return s.take(ctx, name, owner, ttl)
}

// take takes a lease that has run out, or that owner has.
func (s *Outbox) take(ctx context.Context, name, owner string, ttl time.Duration) (outbox.Lease, bool, error) {
	filter := bson.D{{Key: "_id", Value: name}, {Key: "$or", Value: bson.A{
		is("owner", owner),
		is("$expr", is("$lte", bson.A{"$until", "$$NOW"})),
		is("$expr", is("$gt", bson.A{"$until", fromNow(2 * ttl)})), // a clock was ahead
	}}}
	update := mongo.Pipeline{{{Key: "$set", Value: bson.D{
		{Key: "owner", Value: is("$literal", owner)},
		{Key: "epoch", Value: is("$add", bson.A{long("$epoch"), int64(1)})},
		{Key: "settled", Value: is("$lte", bson.A{long("$until"), 0})},
		{Key: "until", Value: fromNow(ttl)},
	}}}}
	raw, err := s.leases().FindOneAndUpdate(ctx, filter, update, options.FindOneAndUpdate().SetReturnDocument(options.After)).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return outbox.Lease{}, false, nil
	}
	if err != nil {
		return outbox.Lease{}, false, err
	}
	d, err := decode[leaseDoc](ctx, s.leases(), raw)
	if err != nil {
		return outbox.Lease{}, false, err
	}
	return outbox.Lease{Name: d.Name, Owner: d.Owner, Epoch: d.Epoch, Settled: d.Settled}, true, nil
}

// long is a whole number or a date as a number; 1 if other hands left something
// else there, which is neither the beginning nor the end of a lease.
func long(field string) bson.D {
	return is("$convert", bson.D{{Key: "input", Value: field}, {Key: "to", Value: "long"}, {Key: "onError", Value: 1}, {Key: "onNull", Value: 1}})
}

// Renew implements outbox.Leases.
func (s *Outbox) Renew(ctx context.Context, l outbox.Lease, ttl time.Duration) error {
	filter := append(held(l), bson.E{Key: "$expr", Value: is("$gt", bson.A{"$until", "$$NOW"})})
	result, err := s.leases().UpdateOne(ctx, filter, mongo.Pipeline{{{Key: "$set", Value: is("until", fromNow(ttl))}}})
	if err == nil && result.MatchedCount == 0 {
		err = outbox.ErrLeaseLost
	}
	return err
}

// Release implements outbox.Leases.
func (s *Outbox) Release(ctx context.Context, l outbox.Lease) error {
	until := time.UnixMilli(1)
	if l.Settled {
		until = time.UnixMilli(0)
	}
	_, err := s.leases().UpdateOne(ctx, held(l), is("$set", is("until", until)))
	return err
}

func held(l outbox.Lease) bson.D {
	return bson.D{{Key: "_id", Value: l.Name}, {Key: "owner", Value: l.Owner}, {Key: "epoch", Value: l.Epoch}}
}

// fromNow is a time on the server's clock.
func fromNow(ttl time.Duration) bson.D {
	return is("$add", bson.A{"$$NOW", ttl.Milliseconds()})
}
