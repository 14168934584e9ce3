package mongodb

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
)

// A process that is killed or frozen between the writes of a transaction and
// its commit leaves it open, and the server keeps its records locked for a
// minute. Nobody else may take that long, so whoever meets such a record ends
// the transaction. One that a living process still wants fails at its commit,
// for certain, and is decided again.
const (
	busyPatience = time.Second            // of a writer before it looks for the reason
	orphanAge    = 2 * time.Second        // without a statement; here they follow each other within milliseconds
	orphanEvery  = 500 * time.Millisecond // between two looks of a process
	orphanPause  = 30 * time.Second       // after a look that failed
)

// orphans bounds how often transactions are looked at.
type orphans struct {
	mu   sync.Mutex
	next time.Time
}

// due reports whether it is time to look, to one of those who ask.
func (o *orphans) due() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if now.Before(o.next) {
		return false
	}
	o.next = now.Add(orphanEvery)
	return true
}

// pause puts the next look off.
func (o *orphans) pause(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = time.Now().Add(d)
}

// endOrphans ends transactions that processes of this service have left open.
// Everybody may see and end what is his user's own.
func (db *DB) endOrphans(ctx context.Context) {
	if !db.orphans.due() {
		return
	}
	sessions, err := db.leftOpen(ctx)
	if err == nil && len(sessions) > 0 {
		err = db.commands.Database("admin").RunCommand(ctx, is("killSessions", sessions)).Err()
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		db.orphans.pause(orphanPause)
		db.opts.Log.WarnContext(ctx, "transactions left open by a killed process cannot be ended: the server ends them"+
			" after its transactionLifetimeLimitSeconds", "err", err)
	case len(sessions) > 0:
		db.metrics.orphans.Add(float64(len(sessions)))
		db.opts.Log.WarnContext(ctx, "ended transactions that a killed or frozen process had left open", slog.Int("transactions", len(sessions)))
	}
}

// leftOpen returns the sessions of this service whose transactions nobody goes
// on with.
func (db *DB) leftOpen(ctx context.Context) ([]bson.D, error) {
	cursor, err := db.commands.Database("admin", options.Database().SetReadConcern(readconcern.Local())).Aggregate(ctx, mongo.Pipeline{
		is("$currentOp", bson.D{{Key: "allUsers", Value: false}, {Key: "idleSessions", Value: true}}),
		is("$match", bson.D{
			{Key: "type", Value: "idleSession"}, {Key: "appName", Value: db.opts.AppName},
			{Key: "transaction.timeInactiveMicros", Value: is("$gte", orphanAge.Microseconds())},
		}),
		is("$project", is("lsid.id", 1)),
	})
	if err != nil {
		return nil, err
	}
	type operation struct {
		Session struct {
			ID bson.RawValue `bson:"id"`
		} `bson:"lsid"`
	}
	return drain(ctx, cursor, func(o operation) bson.D { return is("id", o.Session.ID) })
}
