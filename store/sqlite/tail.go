package sqlite

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"lockstep/outbox"
)

const (
	tailPage = 1000        // events that one wake brings at most
	tailIdle = time.Second // between idle ticks
)

// bell tells tails that events were committed.
type bell struct {
	mu    sync.Mutex
	tails map[chan struct{}]bool
}

func newBell() *bell { return &bell{tails: map[chan struct{}]bool{}} }

// ring wakes every tail; one that is busy finds the bell rung afterwards.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for rung := range b.tails {
		select {
		case rung <- struct{}{}:
		default:
		}
	}
}

func (b *bell) add() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	rung := make(chan struct{}, 1)
	b.tails[rung] = true
	return rung
}

func (b *bell) remove(rung chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tails, rung)
}

// tail reads the events in the order of their commits, which is the order of
// seq because there is one writer. It is never lost.
type tail struct {
	db      *DB
	cursor  *cursor
	rung    chan struct{}
	opened  int64 // the newest event when the tail was opened
	scanned int64 // how far Scan has come
	seen    int64 // how far Next has come
}

// Tail implements outbox.Store.
func (s *Outbox) Tail(ctx context.Context) (outbox.Tail, error) {
	events, err := s.db.cursor(ctx)
	if err != nil {
		return nil, err
	}
	t := &tail{db: s.db, cursor: events, rung: s.db.bell.add()}
	newest, err := one(ctx, s.db.read, nil, number, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'")
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.opened, t.seen = newest, newest
	return t, nil
}

// Scan implements outbox.Tail.
func (t *tail) Scan(ctx context.Context, limit int) ([]outbox.Record, error) {
	for {
		rows, last, err := t.cursor.read(ctx, make([]outbox.Record, 0, limit), t.scanned, t.opened, limit)
		if err != nil || last == t.scanned {
			return nil, err
		}
		t.scanned = last
		if len(rows) > 0 {
			return rows, nil
		}
	}
}

// Next implements outbox.Tail.
func (t *tail) Next(ctx context.Context) (outbox.Wake, error) {
	wake := outbox.Wake{Source: outbox.FromCommit, InOrder: true}
	idle := time.NewTimer(tailIdle)
	defer idle.Stop()
	for {
		rows, last, err := t.cursor.read(ctx, nil, t.seen, math.MaxInt64, tailPage)
		if err != nil {
			return outbox.Wake{}, err
		}
		t.seen = last
		if len(rows) > 0 {
			wake.Records = rows
			return wake, nil
		}
		select {
		case <-t.rung:
		case <-idle.C:
			return wake, nil
		case <-ctx.Done():
			return outbox.Wake{}, ctx.Err()
		}
	}
}

// Close implements outbox.Tail.
func (t *tail) Close() error {
	t.db.bell.remove(t.rung)
	return t.cursor.Close()
}
