package mongodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/order"
)

// How often a store looks whether its collections and indexes are still there.
const (
	lookEvery  = 30 * time.Second
	againEvery = 5 * time.Second // while something is wrong that it cannot mend
)

// condition is what is known of the collections and indexes of a database
// whose service runs.
type condition struct {
	turn chan struct{} // holds one: who looks, others wait

	mu     sync.Mutex
	uuids  map[string]bson.Binary // of the collections whose loss cannot be made good, as they were at start
	broken error                  // a sentence that says why reservations are refused
	looked time.Time
}

func newCondition() *condition { return &condition{turn: make(chan struct{}, 1)} }

func (c *condition) set(broken error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken, c.looked = broken, time.Now()
}

// last returns when the last look was, and what it found.
func (c *condition) last() (looked time.Time, broken error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looked, c.broken
}

// Keep looks now and then whether somebody has dropped a collection or an
// index, and makes what is missing, until ctx ends. It returns nil then.
func (db *DB) Keep(ctx context.Context) error {
	tick := time.NewTicker(againEvery)
	defer tick.Stop()
	for {
		looked, broken := db.condition.last()
		if broken != nil || time.Since(looked) >= lookEvery {
			_ = db.restore(ctx) // Ping says what is wrong
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// restore makes the collections and indexes that are missing. It returns an
// ErrSetUp, which Ping repeats, if that does not make the database whole. Those
// who come while one looks wait and share what it finds.
func (db *DB) restore(ctx context.Context) error {
	came := time.Now()
	select {
	case db.condition.turn <- struct{}{}:
		defer func() { <-db.condition.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if looked, broken := db.condition.last(); looked.After(came) || broken != nil && time.Since(looked) < againEvery {
		return broken
	}
	err := db.mend(ctx)
	if err == nil || errors.Is(err, ErrSetUp) {
		db.condition.set(err)
	}
	return err
}

func (db *DB) mend(ctx context.Context) error {
	lost, err := db.lost(ctx)
	if err != nil {
		return fmt.Errorf("look at the collections: %w", err)
	}
	made, err := db.prepare(ctx)
	if len(made) > 0 {
		db.metrics.remade.Add(float64(len(made)))
		slices.Sort(made)
		db.opts.Log.ErrorContext(ctx, "collections or indexes had been dropped while the service runs and were made again:"+
			" what a dropped collection held is lost unless it is restored from a backup",
			slog.String("database", db.data.Name()), slog.String("made", strings.Join(made, ", ")))
	}
	return errors.Join(lost, err)
}

// lost returns an ErrSetUp if a collection whose loss cannot be made good is
// another one than at start.
func (db *DB) lost(ctx context.Context) (lost, err error) {
	now, err := db.identities(ctx)
	if err != nil {
		return nil, err
	}
	for name, was := range db.condition.uuids {
		if is, ok := now[name]; !ok || !is.Equal(was) {
			lost = errors.Join(lost, refused("collection %s of database %s was dropped or replaced while the service runs, and with it what was sold:"+
				" restore it from a backup, then start the service again, which takes it as it is", name, db.data.Name()))
		}
	}
	return lost, nil
}

// identities returns the UUIDs of the collections whose loss cannot be made
// good.
func (db *DB) identities(ctx context.Context) (map[string]bson.Binary, error) {
	names := []string{ordersName, locksName, paymentsName}
	if db.opts.Replica != ticketsName {
		names = append(names, ticketsName)
	}
	specs, err := db.data.ListCollectionSpecifications(ctx, is("name", is("$in", names)))
	uuids := map[string]bson.Binary{}
	for _, s := range specs {
		if s.UUID != nil {
			uuids[s.Name] = *s.UUID
		}
	}
	return uuids, err
}

// errUnguarded: a ticket could be sold twice now.
var errUnguarded = errors.New("the unique index of active orders is not there")

// guard makes sure, in the transaction of ctx, that the collection of orders is
// the one of the start and has the index that lets a ticket have one active
// order. Neither can be dropped before the transaction ends, which holds a lock
// on the collection from here on.
func (db *DB) guard(ctx context.Context, seats []recordID) error {
	if _, broken := db.condition.last(); broken != nil {
		return fmt.Errorf("%w: %w", errUnguarded, broken)
	}
	err := db.data.RunCommand(ctx, bson.D{
		{Key: "find", Value: ordersName}, {Key: "hint", Value: active},
		{Key: "collectionUUID", Value: db.condition.uuids[ordersName]},
		{Key: "filter", Value: bson.D{{Key: "ticket", Value: is("$in", seats)}, {Key: "status", Value: is("$in", order.Active())}}},
		{Key: "projection", Value: is("_id", 1)}, {Key: "limit", Value: 1}, {Key: "singleBatch", Value: true},
	}).Err()
	if isLostIndex(err) || hasCode(err, codeOtherCollection) {
		return fmt.Errorf("%w: %w", errUnguarded, err)
	}
	return err
}

// isLostIndex reports whether a query named an index that is not there.
func isLostIndex(err error) bool {
	var e mongo.CommandError
	return errors.As(err, &e) && e.HasErrorCode(codeBadValue) && strings.Contains(e.Message, "hint")
}
