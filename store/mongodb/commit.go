package mongodb

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Labels that servers and the driver put on errors of transactions. See the
// transactions specification of the drivers.
const (
	labelTransient = "TransientTransactionError"
	labelUnknown   = "UnknownTransactionCommitResult"
)

// Pauses between attempts of a batch that met a foreign writer or an election.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// do makes a change durable, together with those that wait at the same moment.
func (db *DB) do(ctx context.Context, c *change) error {
	if len(c.writes) == 0 && len(c.events) == 0 {
		return ctx.Err()
	}
	return db.commit.Do(ctx, c)
}

// flush commits a batch and returns the verdict of each member.
func (db *DB) flush(ctx context.Context, batch []*change) []error {
	db.metrics.batch(len(batch))
	db.settle(ctx, batch)
	errs := make([]error, len(batch))
	for i, c := range batch {
		errs[i] = c.err
		db.metrics.verdict(c.err)
	}
	return errs
}

// settle gives every member of the batch its verdict. While the batch as a
// whole does not go through, those who have lost are taken out, and when
// nobody can be blamed it is halved: so one member spoils nobody.
func (db *DB) settle(ctx context.Context, batch []*change) {
	pause := firstPause
	for len(batch) > 0 {
		err := db.transact(ctx, batch)
		switch {
		case err == nil:
			db.tails.hint(batch)
			return
		case errors.Is(err, errUnknown):
			db.resolve(ctx, batch, err)
			return
		case ctx.Err() != nil:
			blame(batch, err)
			return
		case isTransient(err):
			if wait(ctx, pause) != nil {
				blame(batch, err)
				return
			}
			pause = min(2*pause, lastPause)
		case len(batch) == 1:
			batch[0].err = verdict(err)
			return
		}
		left, siftErr := db.sift(ctx, batch)
		if siftErr != nil && !isTransient(siftErr) {
			blame(batch, errors.Join(err, siftErr))
			return
		}
		if len(left) == len(batch) && len(batch) > 1 && !isOutage(err) {
			half := len(left) / 2
			db.settle(ctx, left[:half])
			left = left[half:]
		}
		batch = left
	}
}

func blame(batch []*change, err error) {
	for _, c := range batch {
		c.err = err
	}
}

// verdict says what the failure of a transaction means to its only member.
func verdict(err error) error {
	if !mongo.IsDuplicateKeyError(err) {
		return err
	}
	if violates(err, "ticket") {
		return errTaken
	}
	return errCondition
}

// violates reports whether err is the violation of the unique index on field.
func violates(err error, field string) bool {
	var e mongo.BulkWriteException
	if !errors.As(err, &e) {
		return false
	}
	for _, w := range e.WriteErrors {
		if _, lookup := w.Raw.LookupErr("keyPattern", field); lookup == nil {
			return true
		}
	}
	return false
}

// isTransient reports whether the transaction was not committed and the same
// one may well be a moment later.
func isTransient(err error) bool {
	return hasLabel(err, labelTransient) || mongo.IsTimeout(err) || mongo.IsNetworkError(err)
}

// isOutage reports whether err is the server's state and not the batch's.
func isOutage(err error) bool {
	return mongo.IsTimeout(err) || mongo.IsNetworkError(err) || isTransient(err) && !hasCode(err, codeWriteConflict)
}

func hasLabel(err error, label string) bool {
	var e mongo.LabeledError
	return errors.As(err, &e) && e.HasErrorLabel(label)
}

// wait pauses for about d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
