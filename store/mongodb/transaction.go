package mongodb

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"lockstep/event"
	"lockstep/internal/group"
	"lockstep/outbox"
)

// abortTimeout bounds the abort of a transaction that failed. The server ends
// forgotten ones by itself.
const abortTimeout = 2 * time.Second

// transact commits the whole batch or nothing. It returns errCondition when a
// condition did not hold, group.ErrUnknown when the answer to the commit was lost,
// and with any other error nothing was stored.
func (db *DB) transact(ctx context.Context, batch []*change) error {
	session, err := db.commands.StartSession()
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		session.EndSession(ctx)
	}()
	// Nothing is read, so no snapshot is needed and the newest state decides.
	err = session.StartTransaction(options.Transaction().
		SetReadConcern(readconcern.Local()).SetWriteConcern(writeconcern.Majority()))
	if err != nil {
		return err
	}
	attempt, cancel := context.WithTimeout(mongo.NewSessionContext(ctx, session), attemptTimeout)
	defer cancel()
	if err := db.write(attempt, batch); err != nil {
		return err // ending the session aborts the transaction
	}
	return db.end(ctx, session)
}

// write performs the writes of the batch, one bulk per collection, and the
// insert of its events. ctx carries the session.
func (db *DB) write(ctx context.Context, batch []*change) error {
	var events []any
	var seats []recordID
	inserts, updates := map[string][]mongo.WriteModel{}, map[string][]mongo.WriteModel{}
	for _, c := range batch {
		events = append(events, c.docs...)
		seats = append(seats, c.seats()...)
		for _, w := range c.writes {
			if w.filter == nil {
				inserts[w.collection] = append(inserts[w.collection], w.model)
			} else {
				updates[w.collection] = append(updates[w.collection], w.model)
			}
		}
	}
	if len(seats) > 0 {
		if err := db.guard(ctx, seats); err != nil {
			return err
		}
	}
	for _, name := range []string{ticketsName, ordersName, locksName, paymentsName} {
		models := append(inserts[name], updates[name]...)
		if len(models) == 0 {
			continue
		}
		result, err := db.data.Collection(name).BulkWrite(ctx, models)
		if err != nil {
			return err
		}
		if result.MatchedCount != int64(len(updates[name])) {
			return errCondition
		}
	}
	if len(events) == 0 {
		return nil
	}
	_, err := db.data.Collection(eventsName).InsertMany(ctx, events)
	return err
}

// end commits, and asks again while the answer is lost or is not the one that
// it was not done: a commit may be sent any number of times. It goes on when
// ctx has ended, for only the server knows what it has done.
func (db *DB) end(ctx context.Context, session *mongo.Session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), db.answer)
	defer cancel()
	pause := firstPause
	for {
		attempt, done := context.WithTimeout(ctx, attemptTimeout)
		err := session.CommitTransaction(attempt)
		done()
		if err == nil || hasLabel(err, labelTransient) {
			return err
		}
		if errors.Is(err, mongo.ErrClientDisconnected) || wait(ctx, pause) != nil {
			return errors.Join(group.ErrUnknown, err)
		}
		pause = min(2*pause, lastPause)
	}
}

// resolve looks up what became of a batch whose commit got no answer: all of
// it is there if one of its events is. An absent event proves nothing, for it
// may have been published and deleted meanwhile.
func (db *DB) resolve(ctx context.Context, batch []*change, lost error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	db.opts.Log.WarnContext(ctx, "the answer to a commit was lost", "changes", len(batch), "err", lost)
	found, err := db.announced(ctx, batch)
	if err != nil || !found {
		blame(batch, errors.Join(lost, err))
		return
	}
	acquit(batch)
	db.tails.hint(batch)
}

// announced reports whether the outbox has an event of the batch. The same
// version may have been written by somebody else, so it is compared whole.
func (db *DB) announced(ctx context.Context, batch []*change) (bool, error) {
	ours := map[string]event.Event{}
	for _, c := range batch {
		for _, e := range c.events {
			ours[e.ID()] = e
		}
	}
	ids := slices.Collect(maps.Keys(ours))
	records, err := list(ctx, db.collection(eventsName), is("_id", is("$in", ids)), eventDoc.record)
	return slices.ContainsFunc(records, func(r outbox.Record) bool {
		e := ours[r.ID()]
		return bytes.Equal(r.Payload, e.Payload) && r.OccurredAt.Equal(instant(e.OccurredAt))
	}), err
}
