package mongodb

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/outbox"
)

// tick is the time between two answers of an idle stream.
const tick = time.Second

// tail is one change stream with the scan that precedes it. One goroutine
// reads the stream; Close ends it and waits.
type tail struct {
	db      *DB
	session *mongo.Session // its reads have seen everything before the stream's start
	stop    context.CancelFunc
	ended   chan struct{}
	ticked  atomic.Int64 // nanoseconds since 1970
	died    atomic.Bool  // the stream has ended of itself

	stream chan outbox.Wake // closed when the stream has ended
	lost   error            // why; read after stream was closed
	hints  chan outbox.Wake

	last *outbox.Record // the last one of the scan; nil before the first
}

// Tail implements outbox.Store.
func (s *Outbox) Tail(ctx context.Context) (outbox.Tail, error) {
	t := &tail{
		db: s.db, ended: make(chan struct{}),
		stream: make(chan outbox.Wake), hints: make(chan outbox.Wake, hints),
	}
	t.ticked.Store(time.Now().UnixNano())
	// The stream outlives the context that opens it, but not its opening.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stop = stop
	stream, err := t.begin(ctx, life)
	if err != nil {
		stop()
		s.db.tails.failed()
		return nil, fmt.Errorf("open change stream: %w", err)
	}
	s.db.tails.add(t)
	go t.read(life, stream)
	return t, nil
}

// begin opens the stream at the newest operation that the server has applied
// and ties the session's reads to that moment: what is not in the stream is in
// the scan, and nothing in the scan can be rolled back.
//
// A stream without a start begins there too, but a majority read may be a few
// milliseconds behind, and what lies between would be in neither.
func (t *tail) begin(ctx, life context.Context) (stream *mongo.ChangeStream, err error) {
	// Whoever dropped the collection dropped its indexes, and perhaps others.
	if err := t.db.restore(ctx); err != nil && !errors.Is(err, ErrSetUp) {
		return nil, err
	}
	if t.session, err = t.db.commands.StartSession(); err != nil { // causally consistent
		return nil, err
	}
	defer func() {
		if err != nil {
			t.session.EndSession(ctx)
		}
	}()
	ping := t.db.data.RunCommand(mongo.NewSessionContext(ctx, t.session), is("ping", 1))
	if err := ping.Err(); err != nil {
		return nil, err
	}
	opening, stop := context.WithTimeout(life, commandTimeout)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	events := t.db.streams.Database(t.db.data.Name()).Collection(eventsName)
	return events.Watch(opening, watched(), options.ChangeStream().
		SetStartAtOperationTime(t.session.OperationTime()).SetMaxAwaitTime(tick).SetBatchSize(500))
}

// watched is what the stream reports: events that came, and what ends it.
func watched() mongo.Pipeline {
	return mongo.Pipeline{
		{{Key: "$match", Value: is("operationType", is("$in", bson.A{"insert", "drop", "rename", "dropDatabase", "invalidate"}))}},
		{{Key: "$project", Value: asc("operationType", "fullDocument")}},
	}
}

// Scan implements outbox.Tail. It walks the index on keys, so versions of a
// key ascend, and goes on above the record it returned last.
func (t *tail) Scan(ctx context.Context, limit int) ([]outbox.Record, error) {
	o := options.Find().SetSort(asc("key", "version", "_id")).SetHint(byKey).SetLimit(int64(limit))
	if t.last != nil {
		o.SetMin(bson.D{
			{Key: "key", Value: t.last.Key}, {Key: "version", Value: t.last.Version}, {Key: "_id", Value: t.last.ID()},
			{Key: "isLocked", Value: bson.MaxKey{}}, {Key: "lockedAt", Value: bson.MaxKey{}},
		})
	}
	ctx = mongo.NewSessionContext(ctx, t.session)
	records, err := t.db.Outbox().find(ctx, is("$expr", readable()), o)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	t.last = &records[len(records)-1]
	return records, nil
}

// Next implements outbox.Tail.
func (t *tail) Next(ctx context.Context) (outbox.Wake, error) {
	idle := time.NewTimer(tick)
	defer idle.Stop()
	select {
	case wake := <-t.hints:
		return wake, nil
	case wake, ok := <-t.stream:
		if !ok {
			return outbox.Wake{}, fmt.Errorf("%w: %w", outbox.ErrTailLost, t.lost)
		}
		return wake, nil
	case <-idle.C:
		return outbox.Wake{Source: outbox.FromStream, InOrder: true}, nil
	case <-ctx.Done():
		return outbox.Wake{}, ctx.Err()
	}
}

// Close implements outbox.Tail.
func (t *tail) Close() error {
	t.db.tails.remove(t)
	t.stop()
	<-t.ended
	ctx, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	t.session.EndSession(ctx)
	return nil
}
