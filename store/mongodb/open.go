package mongodb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"lockstep/internal/group"
	"lockstep/internal/unreadable"
	"lockstep/outbox"
)

// Bounds in time. An election takes up to 12 seconds with the server's
// defaults, so a commit outlives one.
const (
	commandTimeout = 10 * time.Second        // any single command
	flushTimeout   = 15 * time.Second        // all attempts of one batch
	attemptTimeout = 5 * time.Second         // one attempt: a frozen primary answers nothing
	confirmTimeout = 1 * time.Second         // asking whether an index is the right one
	answerTimeout  = 15 * time.Second        // getting the answer of a commit that was sent
	flushedWithin  = 1500 * time.Millisecond // Close: the commits under way
	partWithin     = 500 * time.Millisecond  // Close: taking leave of the server
)

// Options of a DB; the zero value is right for a tickets service whose URI
// names the database.
type Options struct {
	// Database overrides the one in the URI's path.
	Database string

	// Service is the one service whose database it is; a database of the other
	// one is refused. Both if "", which is for tests.
	Service Service

	// Replica names the collection of the replica. If "", an orders service
	// continues the one that has documents: "tickets" if a Node service wrote
	// it, otherwise "replica". A tickets service has its own tickets in
	// "tickets": of Tickets and Replica one DB can serve one then.
	Replica string

	AppName    string                // shown by the server's logs; "lockstep" if ""
	MaxBatch   int                   // callers that share one transaction at most; 128 if 0
	Now        func() time.Time      // the clock of new locks, not of leases; time.Now if nil
	Log        *slog.Logger          // slog.Default if nil
	Registerer prometheus.Registerer // of the metrics; not registered if nil
}

func (o Options) withDefaults() Options {
	if o.AppName == "" {
		o.AppName = "lockstep"
	}
	if o.MaxBatch == 0 {
		o.MaxBatch = 128
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// DB is one open database. Its methods and those of the ports it gives out may
// be called from many goroutines. It must be closed.
type DB struct {
	opts       Options
	commands   *mongo.Client // every command ends in time
	streams    *mongo.Client // without a timeout, which would end idle change streams
	data       *mongo.Database
	latest     *mongo.Database // reads what transactions see, durable or not
	commit     *group.Committer[*change]
	tails      *tails
	metrics    *metrics
	orphans    orphans
	condition  *condition
	unreadable *unreadable.Records

	foreign *outbox.Unreadables // entries of the outbox that are no events

	answer  time.Duration         // answerTimeout; tests have less patience
	monitor *event.CommandMonitor // nil but in tests, which read the wire
	closing sync.Once
}

// Open connects to the database that uri names and makes the collections and
// indexes that are missing; any number of processes may do so at once. Its
// error is one sentence that says what to do.
func Open(ctx context.Context, uri string, o Options) (*DB, error) {
	return open(ctx, uri, o, nil)
}

func open(ctx context.Context, uri string, o Options, m *event.CommandMonitor) (*DB, error) {
	db := &DB{opts: o.withDefaults(), tails: newTails(), condition: newCondition(), foreign: outbox.NewUnreadables(o.withDefaults().Log), answer: answerTimeout, monitor: m}
	db.unreadable = unreadable.New(db.opts.Log, db.opts.Registerer, collections()...)
	db.metrics = newMetrics(db.opts.Registerer, db.tails)
	if err := db.open(ctx, uri); err != nil {
		return nil, fmt.Errorf("open MongoDB: %w", errors.Join(err, db.Close()))
	}
	return db, nil
}

func (db *DB) open(ctx context.Context, uri string) error {
	if err := db.connect(ctx, uri); err != nil {
		return err
	}
	db.endOrphans(ctx) // they would be in the way of a new index
	if err := db.recognize(ctx); err != nil {
		return err
	}
	if err := db.checkRights(ctx, writing()); err != nil {
		return err
	}
	there, err := db.fit(ctx)
	if err != nil {
		return err
	}
	if _, err := db.prepare(ctx, there, nil); err != nil {
		return err
	}
	if err := db.Quarantine().fillPredecessors(ctx); err != nil {
		return db.explain(ctx, err, quarantineName, "")
	}
	if err := db.Quarantine().fillSizes(ctx); err != nil {
		return db.explain(ctx, err, quarantineName, "")
	}
	if err := db.tryStream(ctx); err != nil {
		return err
	}
	if there, err = db.there(ctx); err != nil {
		return err
	}
	db.condition.uuids = db.irreplaceable(there)
	db.condition.set(nil, nil)
	db.commit = group.New(db.flush, group.Options[*change]{
		MaxBatch: db.opts.MaxBatch, Keys: (*change).keys, Timeout: flushTimeout, Log: db.opts.Log,
	})
	return nil
}

// connect finds the database, and a server that can be used.
func (db *DB) connect(ctx context.Context, uri string) (err error) {
	name, err := databaseName(uri, db.opts.Database)
	if err != nil {
		return err
	}
	o := db.clientOptions(uri)
	if err := o.Validate(); err != nil {
		if dns := (*net.DNSError)(nil); errors.As(err, &dns) { // of mongodb+srv, and it may come back
			return fmt.Errorf("the URI cannot be used: %w", err)
		}
		return wrongURI("the URI cannot be used: %w", err)
	}
	if db.streams, err = mongo.Connect(o); err != nil {
		return err
	}
	if db.commands, err = mongo.Connect(db.clientOptions(uri).SetTimeout(commandTimeout)); err != nil {
		return err
	}
	if err := db.checkServer(ctx, o); err != nil {
		return err
	}
	db.data = db.commands.Database(name)
	db.latest = db.commands.Database(name, options.Database().SetReadConcern(readconcern.Local()))
	return nil
}

// clientOptions are those of both clients. What durability rests on cannot be
// changed by the URI.
func (db *DB) clientOptions(uri string) *options.ClientOptions {
	return options.Client().ApplyURI(uri).
		SetAppName(db.opts.AppName).
		SetWriteConcern(writeconcern.Majority()).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetRetryWrites(true).
		SetMonitor(db.monitor).
		SetBSONOptions(&options.BSONOptions{NilSliceAsEmpty: true, NilByteSliceAsEmpty: true})
}

// Close waits for the commits under way and disconnects. A server that answers
// nothing holds it up for about two seconds; the outcome of those commits is
// unknown then. Tails must have been closed. A second call does nothing.
func (db *DB) Close() (err error) {
	db.closing.Do(func() {
		flushed := make(chan struct{})
		go func() {
			defer close(flushed)
			if db.commit != nil {
				db.commit.Close()
			}
		}()
		select {
		case <-flushed:
		case <-time.After(flushedWithin):
		}
		err = db.disconnect() // which ends the commits that are left
		<-flushed
	})
	return err
}

// disconnect takes leave of the server, which may be silent, and cuts every
// connection.
func (db *DB) disconnect() error {
	ctx, cancel := context.WithTimeout(context.Background(), partWithin)
	defer cancel()
	errs := make([]error, 2)
	var parting sync.WaitGroup
	for i, c := range []*mongo.Client{db.commands, db.streams} {
		if c != nil {
			parting.Go(func() { errs[i] = c.Disconnect(ctx) })
		}
	}
	parting.Wait()
	return errors.Join(errs...)
}

// Ping reports whether the set has a primary that answers, and whether the
// collections and indexes are as they must be.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.commands.Ping(ctx, readpref.Primary()); err != nil {
		return err
	}
	db.tails.answered()
	_, broken := db.condition.last()
	return broken
}
