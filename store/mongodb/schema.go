package mongodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
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
	incidentsName  = "incidents"
)

// collections are those of any service, the replica by the name it has here.
func collections() []string {
	return []string{
		ticketsName, locksName, ordersName, eventsName, leasesName, quarantineName, marksName, paymentsName, incidentsName, replicaName,
	}
}

// Names of indexes that queries ask for by name.
const (
	byHolder = "byHolder" // tickets: free ones in order of creation
	byUser   = "byUser"   // orders: of one user in order of creation
	byKey    = "byKey"    // events: versions of a key, and the head of each key
	byDue    = "byDue"    // events: failed ones, by the time of their retry

	byFailures = "byFailures" // events: those that have failed, locked again or not
	active     = "active"     // orders: at most one active order for a ticket

	byDeletion = "byDeletion" // replica: tombstones
	byWaiting  = "byWaiting"  // quarantine: what waits, by key and the version it waits for
	bySize     = "bySize"     // quarantine: how much there is of a group
)

// Codes of the server's errors.
const (
	codeBadValue        = 2
	codeUnauthorized    = 13
	codeDatabaseCase    = 13297 // DatabaseDifferCase
	codeNamespaceExists = 48
	codeIndexOptions    = 85
	codeIndexKeySpecs   = 86
	codeDuplicateKey    = 11000
	codeWriteConflict   = 112
	codeOtherCollection = 361 // CollectionUUIDMismatch
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

// oneActive is the index that keeps a ticket from being sold twice.
func oneActive() index {
	return index{name: active, keys: asc("ticket"), partial: is("status", is("$in", order.Active())), unique: true}
}

// schema lists the collections with their indexes.
func (db *DB) schema() map[string][]index {
	all := map[string][]index{
		db.opts.Replica: {{name: byDeletion, keys: asc("deleted"), partial: is("deleted", true)}},
		ordersName: {
			oneActive(),
			{name: byUser, keys: asc("userId", "createdAt")},
			{name: "byExpiry", keys: asc("expiresAt"), partial: is("status", order.Created)},
		},
		eventsName: {
			// What decides whether the head of a key is stale or blocked is in
			// the index, so finding heads reads no document.
			{name: byKey, keys: asc("key", "version", "_id", "isLocked", "lockedAt")},
			{name: byDue, keys: asc("notBefore"), partial: is("isLocked", false)},
			{name: byFailures, keys: asc("key", "version"), partial: is("failureCount", is("$gt", 0))},
		},
		leasesName: nil,
		quarantineName: {
			{name: byWaiting, keys: asc("queueGroup", "key", "predecessor"), partial: bson.D{waits()}},
			{name: bySize, keys: asc("queueGroup", "size")},
		},
		marksName:    nil,
		paymentsName: {{name: "openRefunds", keys: asc("open"), partial: is("open", true)}},
		incidentsName: {
			{name: "open", keys: asc("key"), partial: is("open", true), unique: true},
			{name: "byKey", keys: asc("key", "_id")},
			{name: "byNotice", keys: asc("notifyAt"), partial: is("due", true)},
			{name: "byEnd", keys: asc("closedAt"), partial: is("open", false)},
		},
	}
	if db.opts.Replica != ticketsName {
		all[ticketsName] = []index{{name: byHolder, keys: asc("orderId", "createdAt")}}
		all[locksName] = []index{{name: "byTicket", keys: asc("ticketId", "since", "_id"), partial: is("state", ticket.Waiting)}}
	}
	return all
}

// prepare makes what is missing, but for the collections in except, and returns
// what it made, as "orders" or "orders.active": at start, before the first
// transaction, for two that created a collection at once would conflict.
func (db *DB) prepare(ctx context.Context, there map[string]mongo.CollectionSpecification, except map[string]error) (made []string, err error) {
	var g errgroup.Group
	g.SetLimit(4)
	var mu sync.Mutex
	for collection, indexes := range db.schema() {
		if except[collection] != nil {
			continue
		}
		g.Go(func() error {
			some, err := db.make(ctx, collection, indexes, there)
			mu.Lock()
			defer mu.Unlock()
			made = append(made, some...)
			return err
		})
	}
	err = g.Wait()
	return made, err
}

func (db *DB) make(ctx context.Context, collection string, indexes []index, there map[string]mongo.CollectionSpecification) (made []string, err error) {
	if _, ok := there[collection]; !ok {
		err = db.data.CreateCollection(ctx, collection)
		if err == nil {
			made = append(made, collection)
		} else if !hasCode(err, codeNamespaceExists) { // another process was faster
			return made, db.explain(ctx, err, collection, "")
		}
	}
	var failed []error
	for _, i := range indexes {
		fresh, err := db.makeIndex(ctx, collection, i)
		if err != nil { // the others are needed all the same
			failed = append(failed, db.explain(ctx, err, collection, i.name))
		}
		if fresh {
			made = append(made, collection+"."+i.name)
		}
	}
	return made, errors.Join(append(failed, db.harmful(ctx, collection, indexes))...)
}

// makeIndex reports whether the index was missing. The driver does not tell.
func (db *DB) makeIndex(ctx context.Context, collection string, i index) (fresh bool, err error) {
	var reply struct {
		Before int `bson:"numIndexesBefore"`
		After  int `bson:"numIndexesAfter"`
	}
	err = db.data.RunCommand(ctx, i.creation(collection, "majority")).Decode(&reply)
	return reply.After > reply.Before, err
}

// confirm returns the server's refusal if an index that is there is not as it
// must be, or errUnconfirmed. It asks outside of the transaction of ctx, in which that cannot be
// asked, and not for long: a drop that waits for the transaction is in its way.
func (db *DB) confirm(ctx context.Context, collection string, i index) error {
	ctx, cancel := context.WithTimeout(mongo.NewSessionContext(ctx, nil), confirmTimeout)
	defer cancel()
	err := db.data.RunCommand(ctx, i.creation(collection, 1)).Err()
	if err != nil && !hasCode(err, codeIndexOptions, codeIndexKeySpecs) {
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	return err
}

// errUnconfirmed: it is not known whether the index is the right one.
var errUnconfirmed = errors.New("the index cannot be asked for")

// creation is the command that makes the index. It changes nothing if the index
// is there, and fails if another one is in its place.
func (i index) creation(collection string, concern any) bson.D {
	spec := bson.D{{Key: "name", Value: i.name}, {Key: "key", Value: i.keys}}
	if i.unique {
		spec = append(spec, bson.E{Key: "unique", Value: true})
	}
	if i.partial != nil {
		spec = append(spec, bson.E{Key: "partialFilterExpression", Value: i.partial})
	}
	return bson.D{
		{Key: "createIndexes", Value: collection}, {Key: "indexes", Value: bson.A{spec}},
		{Key: "writeConcern", Value: is("w", concern)},
	}
}

// harmful returns an ErrSetUp that names the indexes of ours which somebody hid,
// for queries that name them fail as if they were not there, and those of others
// which keep documents out or remove them when their time has come.
func (db *DB) harmful(ctx context.Context, collection string, indexes []index) error {
	cursor, err := db.data.Collection(collection).Indexes().List(ctx)
	if err != nil {
		return db.explain(ctx, err, collection, "")
	}
	type spec struct {
		Name     string        `bson:"name"`
		Hidden   bool          `bson:"hidden"`
		Unique   bool          `bson:"unique"`
		Clusters bool          `bson:"clustered"` // the documents lie by it: it is that of _id
		Expire   bson.RawValue `bson:"expireAfterSeconds"`
	}
	specs, err := drain(ctx, cursor, func(s spec) spec { return s })
	if err != nil {
		return db.explain(ctx, err, collection, "")
	}
	var failed []error
	for _, s := range specs {
		ours := s.Name == "_id_" || s.Clusters || slices.ContainsFunc(indexes, func(i index) bool { return i.name == s.Name })
		if s.Unique && !ours {
			failed = append(failed, refused("index %q of collection %s of database %s is unique, and refuses what the service writes: drop it with db.%s.dropIndex(%q)",
				s.Name, collection, db.data.Name(), collection, s.Name))
		}
		if s.Hidden && ours {
			failed = append(failed, refused("index %q of collection %s of database %s is hidden: show it with db.%s.unhideIndex(%q)",
				s.Name, collection, db.data.Name(), collection, s.Name))
		}
		if !s.Expire.IsZero() {
			failed = append(failed, refused("index %q of collection %s of database %s removes documents after a while, which the service needs: drop it with db.%s.dropIndex(%q)",
				s.Name, collection, db.data.Name(), collection, s.Name))
		}
	}
	return errors.Join(failed...)
}

// tryStream sees whether the user may follow the events.
func (db *DB) tryStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	stream, err := db.streams.Database(db.data.Name()).Collection(eventsName).Watch(ctx, watched())
	if err != nil {
		return db.explain(ctx, err, eventsName, "")
	}
	return stream.Close(ctx)
}

// explain turns a refusal while preparing into a sentence that says what to do.
func (db *DB) explain(ctx context.Context, err error, collection, index string) error {
	name := db.data.Name()
	switch {
	case hasCode(err, codeUnauthorized):
		return db.denied(fmt.Errorf("prepare collection %s: %w", collection, err))
	case hasCode(err, codeDatabaseCase):
		return refused("the server has database %s in other letters: correct the URI: %w", name, err)
	case hasCode(err, codeIndexOptions, codeIndexKeySpecs):
		return refused("collection %s of database %s has another index in the place of %q:"+
			" drop that one with db.%s.dropIndex(…), and start the service if it does not run: %w", collection, name, index, collection, err)
	case hasCode(err, codeDuplicateKey) && index == active:
		return refused("database %s has tickets with several active orders (%s): cancel all but one of each,"+
			" as db.orders.aggregate([{$match: {status: {$ne: \"cancelled\"}}}, {$group: {_id: \"$ticket\", orders: {$push: \"$_id\"}}},"+
			" {$match: {\"orders.1\": {$exists: true}}}]) lists them: %w", name, db.soldTwice(ctx), err)
	}
	return fmt.Errorf("prepare collection %s of database %s: %w", collection, name, err)
}

// denied turns the refusal of what the user may not do into a sentence that says
// what to do.
func (db *DB) denied(err error) error {
	if !hasCode(err, codeUnauthorized) {
		return err
	}
	name := db.data.Name()
	return refused("the user may not do in database %s what the service needs: grant readWrite on that database,"+
		" as in db.grantRolesToUser(user, [{role: \"readWrite\", db: %q}]): %w", name, name, err)
}

// soldTwice names tickets with several active orders, a few if there are many.
func (db *DB) soldTwice(ctx context.Context) string {
	const named = 5
	cursor, err := db.data.Collection(ordersName).Aggregate(ctx, mongo.Pipeline{
		is("$match", is("status", is("$in", order.Active()))),
		is("$group", bson.D{{Key: "_id", Value: "$ticket"}, {Key: "orders", Value: is("$sum", 1)}}),
		is("$match", is("orders", is("$gt", 1))),
		is("$sort", is("_id", 1)),
		is("$limit", named+1),
	})
	if err != nil {
		return err.Error()
	}
	type ticket struct {
		ID bson.RawValue `bson:"_id"`
	}
	ids, err := drain(ctx, cursor, func(t ticket) string { return printID(t.ID) })
	if err != nil {
		return err.Error()
	}
	if len(ids) > named {
		ids = append(ids[:named], "and more")
	}
	return strings.Join(ids, ", ")
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
