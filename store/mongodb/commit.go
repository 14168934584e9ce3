package mongodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/internal/group"
)

// labelTransient marks errors after which a transaction is certain not to be
// committed and may be tried again. See the drivers' specification of
// transactions.
const labelTransient = "TransientTransactionError"

// Pauses between attempts of a batch that met a foreign writer or an election.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// do makes a change durable, together with those that wait at the same moment.
// While a transaction of another process holds what it writes, it comes again,
// keeps nobody back in between, and ends that transaction if its process did not.
func (db *DB) do(ctx context.Context, c *change) error {
	if len(c.writes) == 0 && len(c.events) == 0 {
		return ctx.Err()
	}
	began, pause := time.Now(), firstPause
	for restored := false; ; {
		err := db.commit.Do(ctx, c)
		if errors.Is(err, errUnguarded) && !restored {
			restored = true
			if db.restore(ctx) == nil {
				continue
			}
		}
		busy := errors.Is(err, errBusy)
		switch {
		case busy && time.Since(began) > flushTimeout, isOutage(err) && ctx.Err() == nil && !errors.Is(err, group.ErrUnknown):
			return fmt.Errorf("%w: %w", group.ErrRefused, err)
		case errors.Is(err, errCondition):
			db.reveal(ctx)
			return err
		case !busy:
			return err
		}
		if time.Since(began) > busyPatience {
			db.endOrphans(ctx)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

// reveal waits until reads, which show what a majority has, show what a change
// has met on the primary: whoever decides again would meet it again.
func (db *DB) reveal(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	session, err := db.commands.StartSession() // causally consistent
	if err != nil {
		return
	}
	defer session.EndSession(ctx)
	ctx = mongo.NewSessionContext(ctx, session)
	if db.data.RunCommand(ctx, is("ping", 1)).Err() == nil { // says how far the primary is
		_ = db.data.Collection(marksName).FindOne(ctx, is("_id", nil)).Err() // waits until a majority is there
	}
}

// flush commits a batch and returns the verdict of each member.
func (db *DB) flush(ctx context.Context, batch []*change) []error {
	for rest := batch; len(rest) > 0; {
		n := fitting(rest)
		db.metrics.batch(n)
		db.settle(ctx, rest[:n])
		rest = rest[n:]
	}
	errs := make([]error, len(batch))
	for i, c := range batch {
		errs[i] = c.err
		db.metrics.verdict(c.err)
	}
	return errs
}

// maxBytes is how many bytes of events one transaction takes, so that large
// ones do not make it slower than an attempt may last.
const maxBytes = 4 << 20

// fitting returns how many changes from the start of the batch, at least one,
// go into a transaction.
func fitting(batch []*change) int {
	size := 0
	for i, c := range batch {
		for _, e := range c.events {
			size += len(e.Payload)
		}
		if i > 0 && size > maxBytes {
			return i
		}
	}
	return len(batch)
}

// settle gives every member of the batch its verdict. While the batch as a
// whole does not go through, those who have lost are taken out, and when
// nobody can be blamed it is halved: so one member spoils nobody.
func (db *DB) settle(ctx context.Context, batch []*change) {
	batch = db.withoutLost(batch)
	pause := firstPause
	for len(batch) > 0 {
		err := db.transact(ctx, batch)
		switch {
		case err == nil:
			acquit(batch)
			db.tails.hint(batch)
			return
		case errors.Is(err, group.ErrUnknown):
			db.resolve(ctx, batch, err)
			return
		case isOutage(err):
			if wait(ctx, pause) != nil {
				blame(batch, err)
				return
			}
			pause = min(2*pause, lastPause)
			continue
		case errors.Is(err, errUnguarded):
			batch = withoutSeats(batch, err)
			continue
		case len(batch) == 1 && !isConflict(err):
			batch[0].err = verdict(err)
			return
		}
		batch = db.narrow(ctx, batch, err)
	}
}

// narrow takes those out of a batch that failed who have lost, or settles one
// half of it, and returns who is left.
func (db *DB) narrow(ctx context.Context, batch []*change, failed error) []*change {
	left, err := db.sift(ctx, batch)
	switch {
	case err != nil && isOutage(err) && ctx.Err() == nil:
		return batch
	case err != nil:
		blame(batch, errors.Join(failed, err))
		return nil
	case len(left) < len(batch):
		return left
	case len(left) == 1:
		left[0].err = errors.Join(errBusy, failed)
		return nil
	}
	half := len(left) / 2
	db.settle(ctx, left[:half])
	return left[half:]
}

// withoutLost returns those of a batch whose collections are there; the others
// fail.
func (db *DB) withoutLost(batch []*change) (left []*change) {
	for _, c := range batch {
		switch err := db.condition.without(c.writes); {
		case err == nil:
			left = append(left, c)
		case len(c.seats()) > 0:
			c.err = fmt.Errorf("%w: %w", errUnguarded, err)
		default:
			c.err = fmt.Errorf("%w: %w", group.ErrRefused, err)
		}
	}
	return left
}

// withoutSeats returns those of a batch that reserve nothing; the others fail.
func withoutSeats(batch []*change, err error) (left []*change) {
	for _, c := range batch {
		if len(c.seats()) == 0 {
			left = append(left, c)
			continue
		}
		c.err = err
	}
	return left
}

func acquit(batch []*change) { blame(batch, nil) }

func blame(batch []*change, err error) {
	for _, c := range batch {
		c.err = err
	}
}

// verdict says what the failure of a transaction means to its only member.
func verdict(err error) error {
	if !mongo.IsDuplicateKeyError(err) {
		return outage(err, err)
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

// isConflict reports whether a transaction of somebody else was in the way.
func isConflict(err error) bool { return hasCode(err, codeWriteConflict) }

// isOutage reports whether the server did not commit the transaction and may
// well do so a moment later, whatever is in it: it was unreachable or silent,
// or has given way to another primary.
func isOutage(err error) bool {
	return errors.Is(err, errUnconfirmed) || mongo.IsTimeout(err) || mongo.IsNetworkError(err) || hasLabel(err, labelTransient) && !isConflict(err)
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
