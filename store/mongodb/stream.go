package mongodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/outbox"
)

// reason says why a change stream ended, as metrics spell it.
type reason string

// The reasons.
const (
	reasonHistory reason = "history_lost" // the oplog does not reach back to where the stream was
	reasonInvalid reason = "invalidated"  // the collection was dropped or renamed
	reasonClosed  reason = "closed"       // the server closed the cursor without a word
	reasonDecode  reason = "undecodable"  // a notice of the stream cannot be read
	reasonError   reason = "error"        // anything else
)

func reasons() []reason {
	return []reason{reasonHistory, reasonInvalid, reasonClosed, reasonDecode, reasonError}
}

// trouble is the end of a change stream.
type trouble struct {
	reason reason
	err    error
}

func (t *trouble) Error() string { return fmt.Sprintf("change stream: %s: %v", t.reason, t.err) }
func (t *trouble) Unwrap() error { return t.err }

// notice is what the stream reports of one change.
type notice struct {
	Operation string   `bson:"operationType"`
	Event     bson.Raw `bson:"fullDocument"`
}

// read hands over what the stream reports until it ends or the tail is closed.
func (t *tail) read(life context.Context, stream *mongo.ChangeStream) {
	defer close(t.ended)
	defer close(t.stream)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(life), abortTimeout)
		defer cancel()
		_ = stream.Close(ctx) // the server ends forgotten cursors itself
	}()
	for {
		records, err := t.batch(life, stream)
		if err != nil {
			t.lost = err
			if life.Err() == nil {
				t.died.Store(true)
				t.db.metrics.streamLost(reasonOf(err))
			}
			return
		}
		t.ticked.Store(time.Now().UnixNano())
		if len(records) == 0 {
			continue
		}
		select {
		case t.stream <- outbox.Wake{Source: outbox.FromStream, Records: records, InOrder: true}:
		case <-life.Done():
			t.lost = life.Err()
			return
		}
	}
}

// batch returns what the server sent at once, as much of it as makes a page;
// nothing after an idle tick.
func (t *tail) batch(ctx context.Context, stream *mongo.ChangeStream) ([]outbox.Record, error) {
	var records []outbox.Record
	for size := 0; stream.TryNext(ctx); {
		var n notice
		if err := stream.Decode(&n); err != nil {
			return nil, &trouble{reasonDecode, err}
		}
		if n.Operation != "insert" {
			return nil, &trouble{reasonInvalid, fmt.Errorf("collection %s: %s", eventsName, n.Operation)}
		}
		if n.Event != nil {
			records = append(records, t.db.readable([]bson.Raw{n.Event})...)
		}
		if size += len(n.Event); stream.RemainingBatchLength() == 0 || size >= outbox.PageBytes {
			return records, nil
		}
	}
	switch err := stream.Err(); {
	case hasCode(err, codeStreamHistory, codeStreamFatal, codeInvalidResume):
		return nil, &trouble{reasonHistory, err}
	case err != nil:
		return nil, &trouble{reasonError, err}
	case stream.ID() == 0:
		return nil, &trouble{reasonClosed, errors.New("the server closed the cursor")}
	}
	return records, nil
}

func reasonOf(err error) reason {
	var t *trouble
	if errors.As(err, &t) {
		return t.reason
	}
	return reasonError
}
