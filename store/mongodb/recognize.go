package mongodb

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Service is whose database it is.
type Service string

// The services. A database opened for Both serves every port.
const (
	Both          Service = ""
	TicketService Service = "tickets"
	OrderService  Service = "orders"
)

const (
	replicaName  = "replica" // where the replica is unless a Node service began it
	nodeDatabase = "orders"  // what the Node orders service calls its database; its replica is in "tickets"
)

// looked is how many documents from each end of a collection are looked at to
// tell whose it is.
const looked = 50

// contents is what was found in a database before anything is made in it.
type contents struct {
	collections []string
	canonical   bool // "tickets" has documents with an owner: a tickets service's
	copies      bool // "tickets" has documents without: a Node orders service's replica
	replica     bool // "replica" has documents
}

// recognize finds out which collection holds the replica, by what is in the
// database, and refuses the database of the other service.
func (db *DB) recognize(ctx context.Context) error {
	if db.opts.Replica != "" {
		return nil
	}
	db.opts.Replica = replicaName
	if db.opts.Service == Both {
		return nil
	}
	c, err := db.contents(ctx)
	if err != nil {
		return db.denied(fmt.Errorf("look at database %s: %w", db.data.Name(), err))
	}
	if db.opts.Service == TicketService {
		return c.forTickets(db.data.Name())
	}
	var why string
	if db.opts.Replica, why, err = c.forOrders(db.data.Name()); err != nil {
		return err
	}
	db.opts.Log.InfoContext(ctx, "replica chosen",
		slog.String("database", db.data.Name()), slog.String("collection", db.opts.Replica), slog.String("because", why))
	return nil
}

func (db *DB) contents(ctx context.Context) (c contents, err error) {
	if c.collections, err = db.data.ListCollectionNames(ctx, bson.D{}); err != nil {
		return c, err
	}
	with, without, err := db.owners(ctx)
	if err != nil {
		return c, err
	}
	// A foreign document among many says nothing.
	c.canonical, c.copies = with > 0 && 10*with >= without, without > 0 && 10*without >= with
	some, err := db.data.Collection(replicaName).CountDocuments(ctx, bson.D{}, options.Count().SetLimit(1))
	c.replica = some > 0
	return c, err
}

// owners counts the tickets with an owner, and those without, at both ends of
// the collection: all that one service wrote is alike.
func (db *DB) owners(ctx context.Context) (with, without int, err error) {
	type ticket struct {
		UserID bson.RawValue `bson:"userId"`
	}
	for _, direction := range []int{1, -1} {
		o := options.Find().SetSort(is("_id", direction)).SetLimit(looked).SetProjection(is("userId", 1))
		tickets, err := list(ctx, db.collection(ticketsName), bson.D{}, func(t ticket) bool { return !t.UserID.IsZero() }, o)
		if err != nil {
			return 0, 0, err
		}
		for _, owned := range tickets {
			if owned {
				with++
			} else {
				without++
			}
		}
	}
	return with, without, nil
}

func (c contents) has(collection string) bool { return slices.Contains(c.collections, collection) }

// forTickets refuses the database of an orders service.
func (c contents) forTickets(name string) error {
	switch {
	case c.copies && !c.canonical:
		return refused("database %s belongs to an orders service, for the documents of its collection tickets have no userId:"+
			" give the tickets service a database of its own in MONGO_URI", name)
	case c.replica && !c.canonical:
		return refused("database %s belongs to an orders service, for its collection replica has documents and tickets has none:"+
			" give the tickets service a database of its own in MONGO_URI", name)
	}
	return nil
}

// forOrders returns the collection that holds the replica, and why.
func (c contents) forOrders(name string) (collection, why string, err error) {
	switch {
	case c.replica && c.canonical:
		return replicaName, "it has documents, and tickets those of a tickets service", nil
	case c.copies && c.canonical:
		return "", "", refused("collection tickets of database %s has documents with userId, which only a tickets service writes, and others without:"+
			" move what does not belong to the orders service to another database and start again", name)
	case c.copies && c.replica:
		return "", "", refused("database %s has two replicas, in collection tickets as a Node orders service keeps it, and in collection replica:"+
			" rename the one that is not to be continued, as db.replica.renameCollection(\"replica_old\"), and start again", name)
	case c.replica:
		return replicaName, "it has documents", nil
	case c.canonical:
		return "", "", refused("database %s belongs to a tickets service, for the documents of its collection tickets have a userId:"+
			" give the orders service a database of its own in MONGO_URI", name)
	case c.copies:
		return ticketsName, "its documents are those of a Node orders service", nil
	case c.has(replicaName):
		return replicaName, "it is there, and no tickets yet", nil
	case c.has(ordersName) && c.has(ticketsName):
		return ticketsName, "a Node orders service made it", nil
	case name == nodeDatabase:
		return ticketsName, "the database is new and named as that of the Node orders service", nil
	}
	return replicaName, "the database is new", nil
}
