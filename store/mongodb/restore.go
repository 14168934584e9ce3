package mongodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/internal/group"
	"lockstep/order"
)

// lookEvery is how often a store looks whether its collections and indexes are
// still there and as they must be.
const lookEvery = 5 * time.Second

// condition is what is known of the collections and indexes of a database
// whose service runs.
type condition struct {
	turn  chan struct{}          // holds one: who looks, others wait
	uuids map[string]bson.Binary // of the collections whose loss cannot be made good, as they were at start

	mu     sync.Mutex
	lost   map[string]error // collections that are not there now, are others, or do not keep what is written
	broken error            // a sentence that says what a person must do
	looked time.Time
}

func newCondition() *condition { return &condition{turn: make(chan struct{}, 1)} }

func (c *condition) set(lost map[string]error, broken error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost, c.broken, c.looked = lost, broken, time.Now()
}

// without returns an ErrSetUp if a change writes to a collection that is lost:
// an empty one would be made, and take what belongs to the old one.
func (c *condition) without(writes []write) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range writes {
		if err := c.lost[w.collection]; err != nil {
			return err
		}
	}
	return nil
}

// keeps returns a refusal if what is written to a collection would be lost.
func (c *condition) keeps(collection string) error {
	if err := c.without([]write{{collection: collection}}); err != nil {
		return fmt.Errorf("%w: %w", group.ErrRefused, err)
	}
	return nil
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
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_ = db.restore(ctx) // Ping says what is wrong
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
	if looked, broken := db.condition.last(); looked.After(came) || broken != nil && time.Since(looked) < lookEvery/2 {
		return broken
	}
	return db.mend(ctx)
}

func (db *DB) mend(ctx context.Context) error {
	lost, err := db.repair(ctx)
	if err == nil || errors.Is(err, ErrSetUp) {
		db.condition.set(lost, err)
	}
	return err
}

// repair makes what is missing, as far as it can be made. It returns the
// collections that are lost, and an ErrSetUp for what a person must do.
func (db *DB) repair(ctx context.Context) (lost map[string]error, err error) {
	there, err := db.there(ctx)
	if err == nil {
		err = db.checkRights(ctx, writing())
	}
	if err != nil {
		return db.condition.lost, err // nobody else sets it
	}
	lost = db.lost(there)
	refusals, err := db.unwritable(ctx, there)
	if err != nil {
		return lost, err
	}
	for _, name := range []string{quarantineName, db.opts.Replica} { // the server takes it, and may forget or not find it
		if why := refusals[name]; why != nil {
			lost[name] = why
		}
	}
	maps.Copy(refusals, lost)
	made, err := db.prepare(ctx, there, refusals)
	if len(made) > 0 {
		db.metrics.remade.Add(float64(len(made)))
		slices.Sort(made)
		db.opts.Log.ErrorContext(ctx, "collections or indexes had been dropped while the service runs and were made again:"+
			" what a dropped collection held is lost unless it is restored from a backup",
			slog.String("database", db.data.Name()), slog.String("made", strings.Join(made, ", ")))
	}
	return lost, errors.Join(all(refusals), err)
}

// all joins errors in the order of their names.
func all(errs map[string]error) error {
	var sorted []error
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		sorted = append(sorted, errs[name])
	}
	return errors.Join(sorted...)
}

// lost returns an ErrSetUp for each collection whose loss cannot be made good
// and that is another one than at start.
func (db *DB) lost(there map[string]mongo.CollectionSpecification) map[string]error {
	lost := map[string]error{}
	for name, was := range db.condition.uuids {
		if is := there[name].UUID; is == nil || !is.Equal(was) { // a view has none
			lost[name] = refused("collection %s of database %s was dropped, renamed or replaced while the service runs, and with it what was sold:"+
				" give it its name back, or restore it from a backup and start the service again, which takes it as it is", name, db.data.Name())
		}
	}
	return lost
}

// there returns the collections that exist, and views.
func (db *DB) there(ctx context.Context) (map[string]mongo.CollectionSpecification, error) {
	specs, err := db.data.ListCollectionSpecifications(ctx, bson.D{})
	if err != nil {
		return nil, db.denied(fmt.Errorf("look at the collections: %w", err))
	}
	named := make(map[string]mongo.CollectionSpecification, len(specs))
	for _, s := range specs {
		named[s.Name] = s
	}
	return named, nil
}

// irreplaceable returns those of the collections whose loss cannot be made good.
func (db *DB) irreplaceable(there map[string]mongo.CollectionSpecification) map[string]bson.Binary {
	names := []string{ordersName, paymentsName}
	if db.opts.Replica != ticketsName {
		names = append(names, ticketsName, locksName)
	}
	uuids := map[string]bson.Binary{}
	for _, name := range names {
		if is := there[name].UUID; is != nil {
			uuids[name] = *is
		}
	}
	return uuids
}

// errUnguarded: a ticket could be sold twice now.
var errUnguarded = errors.New("the unique index of active orders is not there")

// guard makes sure, in the transaction of ctx, that the collection of orders is
// the one of the start and has the index that lets a ticket have one active
// order. Neither can be dropped before the transaction ends, which holds a lock
// on the collection from the query on; so that the index of that name is also
// the right one can be asked outside of it. An order that names its ticket in a
// text is not seen by the index: guard returns errTaken if such a one has it.
func (db *DB) guard(ctx context.Context, seats []recordID) error {
	texts := make([]string, len(seats))
	for i, id := range seats {
		texts[i] = string(id)
	}
	var found struct {
		Cursor struct {
			Batch []bson.Raw `bson:"firstBatch"`
		} `bson:"cursor"`
	}
	err := db.data.RunCommand(ctx, bson.D{
		{Key: "find", Value: ordersName}, {Key: "hint", Value: active},
		{Key: "collectionUUID", Value: db.condition.uuids[ordersName]},
		{Key: "filter", Value: bson.D{{Key: "ticket", Value: is("$in", texts)}, {Key: "status", Value: is("$in", order.Active())}}},
		{Key: "projection", Value: is("_id", 1)}, {Key: "limit", Value: 1}, {Key: "singleBatch", Value: true},
	}).Decode(&found)
	if err == nil {
		err = db.confirm(ctx, ordersName, oneActive())
	}
	switch {
	case isLostIndex(err), hasCode(err, codeOtherCollection, codeIndexOptions, codeIndexKeySpecs):
		return fmt.Errorf("%w: %w", errUnguarded, err)
	case err == nil && len(found.Cursor.Batch) > 0:
		return errTaken
	}
	return err
}

// isLostIndex reports whether a query named an index that is not there.
func isLostIndex(err error) bool {
	var e mongo.CommandError
	return errors.As(err, &e) && e.HasErrorCode(codeBadValue) && strings.Contains(e.Message, "hint")
}
