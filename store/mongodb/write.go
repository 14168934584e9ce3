package mongodb

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/internal/group"
)

// Writes outside of transactions are the driver's, but for the errors of a set
// without a primary.

// UpdateOne is the driver's.
func (c collection) UpdateOne(ctx context.Context, filter, update any, o ...options.Lister[options.UpdateOneOptions]) (*mongo.UpdateResult, error) {
	return written(c.Collection.UpdateOne(ctx, filter, update, o...))
}

// DeleteOne is the driver's.
func (c collection) DeleteOne(ctx context.Context, filter any, o ...options.Lister[options.DeleteOneOptions]) (*mongo.DeleteResult, error) {
	return written(c.Collection.DeleteOne(ctx, filter, o...))
}

// DeleteMany is the driver's.
func (c collection) DeleteMany(ctx context.Context, filter any, o ...options.Lister[options.DeleteManyOptions]) (*mongo.DeleteResult, error) {
	return written(c.Collection.DeleteMany(ctx, filter, o...))
}

// ReplaceOne is the driver's.
func (c collection) ReplaceOne(ctx context.Context, filter, replacement any, o ...options.Lister[options.ReplaceOptions]) (*mongo.UpdateResult, error) {
	return written(c.Collection.ReplaceOne(ctx, filter, replacement, o...))
}

// InsertOne is the driver's.
func (c collection) InsertOne(ctx context.Context, doc any, o ...options.Lister[options.InsertOneOptions]) (*mongo.InsertOneResult, error) {
	return written(c.Collection.InsertOne(ctx, doc, o...))
}

// Codes of a server that is no primary, or ceases to be one, by the drivers'
// specification of server discovery and monitoring.
const (
	codeNotPrimary         = 10107
	codeNotPrimaryNoChoice = 13435
	codeShutdown           = 91
	codeSteppedDown        = 189
	codeAtShutdown         = 11600
	codeStateChange        = 11602
)

// written returns what a write led to; read does so of a read, which changes
// nothing.
func written[R any](result R, err error) (R, error) { return result, outage(err, group.ErrUnknown) }

func read[R any](result R, err error) (R, error) { return result, outage(err, group.ErrRefused) }

// outage says group.ErrRefused of what the server did not do, whatever its reason,
// for what we ask is right for the collections that we make; and what broken says
// where nobody can tell, for the connection or the primary broke.
func outage(err, broken error) error {
	var answer mongo.ServerError
	switch {
	case hasCode(err, codeNotPrimary, codeNotPrimaryNoChoice):
		return fmt.Errorf("%w: %w", group.ErrRefused, err)
	case mongo.IsNetworkError(err), hasLabel(err, labelRetryable), hasCode(err, codeShutdown, codeSteppedDown, codeAtShutdown, codeStateChange):
		return fmt.Errorf("%w: %w", broken, err)
	case !errors.As(err, &answer), mongo.IsTimeout(err), mongo.IsDuplicateKeyError(err), isUnconfirmed(err):
		return err
	}
	return fmt.Errorf("%w: %w", group.ErrRefused, err)
}

// labelRetryable marks errors of a router that lost a member of the set.
const labelRetryable = "RetryableWriteError"

// isUnconfirmed reports whether the server did it and cannot tell whether it lasts.
func isUnconfirmed(err error) bool {
	var one mongo.WriteException
	var many mongo.BulkWriteException
	return errors.As(err, &one) && one.WriteConcernError != nil || errors.As(err, &many) && many.WriteConcernError != nil
}
