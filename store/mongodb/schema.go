package mongodb

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"lockstep/order"
	"lockstep/ticket"
)

// The collections. The replica's name is an option.
const (
	ticketsName    = "tickets"
	locksName      = "locks"
	ordersName     = "orders"
	eventsName     = "events"
	leasesName     = "leases"
	quarantineName = "quarantine"
	marksName      = "marks"
	paymentsName   = "payments"
)

// Names of indexes that queries ask for by name.
const (
	byHolder = "byHolder" // tickets: free ones in order of creation
	byUser   = "byUser"   // orders: of one user in order of creation
	byKey    = "byKey"    // events: versions of a key, and the head of each key
	byDue    = "byDue"    // events: failed ones, by the time of their retry
	active   = "active"   // orders: at most one active order for a ticket

	byDeletion = "byDeletion" // replica: tombstones
)

// Codes of the server's errors.
const (
	codeUnauthorized    = 13
	codeNamespaceExists = 48
	codeIndexOptions    = 85
	codeIndexKeySpecs   = 86
	codeDuplicateKey    = 11000
	codeWriteConflict   = 112
	codeStreamHistory   = 286
	codeStreamFatal     = 280
	codeInvalidResume   = 260
)

// index is an index of a collection.
type index struct {
	name    string
	keys    bson.D
	partial bson.D // nil: all documents
	unique  bool
}

func asc(fields ...string) bson.D {
	keys := make(bson.D, len(fields))
	for i, f := range fields {
		keys[i] = bson.E{Key: f, Value: 1}
	}
	return keys
}

func is(field string, value any) bson.D { return bson.D{{Key: field, Value: value}} }

// schema lists the collections with their indexes.
func (db *DB) schema() map[string][]index {
	all := map[string][]index{
		db.opts.Replica: {{name: byDeletion, keys: asc("deleted"), partial: is("deleted", true)}},
		ordersName: {
			{name: active, keys: asc("ticket"), partial: is("status", is("$in", order.Active())), unique: true},
			{name: byUser, keys: asc("userId", "createdAt")},
			{name: "byExpiry", keys: asc("expiresAt"), partial: is("status", order.Created)},
		},
		eventsName: {
			// What decides whether the head of a key is stale or blocked is in
			// the index, so finding heads reads no document.
			{name: byKey, keys: asc("key", "version", "_id", "isLocked", "lockedAt")},
			{name: byDue, keys: asc("notBefore"), partial: is("isLocked", false)},
		},
		leasesName:     nil,
		quarantineName: {{name: "byKey", keys: asc("key", "version"), partial: is("reason", "too_early")}},
		marksName:      nil,
		paymentsName:   {{name: "openRefunds", keys: asc("open"), partial: is("open", true)}},
	}
	if db.opts.Replica != ticketsName {
		all[ticketsName] = []index{{name: byHolder, keys: asc("orderId", "createdAt")}}
		all[locksName] = []index{{name: "byTicket", keys: asc("ticketId", "since", "_id"), partial: is("state", ticket.Waiting)}}
	}
	return all
}

// prepare makes what is missing, before the first transaction: two that
// created a collection at once would conflict.
func (db *DB) prepare(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(4)
	for collection, indexes := range db.schema() {
		g.Go(func() error { return db.make(ctx, collection, indexes) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return db.tryStream(ctx)
}

func (db *DB) make(ctx context.Context, collection string, indexes []index) error {
	err := db.data.CreateCollection(ctx, collection)
	if err != nil && !hasCode(err, codeNamespaceExists) {
		return db.explain(err, collection, "")
	}
	for _, i := range indexes {
		o := options.Index().SetName(i.name)
		if i.unique {
			o.SetUnique(true)
		}
		if i.partial != nil {
			o.SetPartialFilterExpression(i.partial)
		}
		if _, err := db.data.Collection(collection).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: i.keys, Options: o}); err != nil {
			return db.explain(err, collection, i.name)
		}
	}
	return nil
}

// tryStream sees whether the user may follow the events.
func (db *DB) tryStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	stream, err := db.streams.Database(db.data.Name()).Collection(eventsName).Watch(ctx, watched())
	if err != nil {
		return db.explain(err, eventsName, "")
	}
	return stream.Close(ctx)
}

// explain turns a refusal while preparing into a sentence that says what to do.
func (db *DB) explain(err error, collection, index string) error {
	name := db.data.Name()
	switch {
	case hasCode(err, codeUnauthorized):
		return refused("the user may not prepare collection %s of database %s: grant readWrite on that database,"+
			" as in db.grantRolesToUser(user, [{role: \"readWrite\", db: %q}]): %w", collection, name, name, err)
	case hasCode(err, codeIndexOptions, codeIndexKeySpecs):
		return refused("collection %s of database %s has another index in the place of %q:"+
			" drop that one with db.%s.dropIndex(…) and start again: %w", collection, name, index, collection, err)
	case hasCode(err, codeDuplicateKey) && index == active:
		return refused("database %s has tickets with several active orders: cancel all but one of each,"+
			" as db.orders.aggregate([{$match: {status: {$ne: \"cancelled\"}}}, {$group: {_id: \"$ticket\", orders: {$push: \"$_id\"}}},"+
			" {$match: {\"orders.1\": {$exists: true}}}]) lists them: %w", name, err)
	}
	return fmt.Errorf("prepare collection %s of database %s: %w", collection, name, err)
}

// hasCode reports whether the server answered with one of the codes.
func hasCode(err error, codes ...int) bool {
	var e mongo.ServerError
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.HasErrorCode(c) {
			return true
		}
	}
	return false
}
