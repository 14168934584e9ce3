package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// ErrClosed: the committer was closed before the item came; nothing was done.
var ErrClosed = errors.New("closed")

// DefaultMaxBatch is how many items share one flush at most.
const DefaultMaxBatch = 256

// Options of a Committer; the zero value is one flusher of unrelated items.
type Options[T any] struct {
	// MaxBatch bounds a batch, in items; DefaultMaxBatch if 0.
	MaxBatch int

	// Keys names what an item touches. Two items with a common key are never
	// flushed together or at the same time, and in the order of their
	// arrival. Nil: items are unrelated.
	Keys func(T) []string

	// Flushers is how many batches may be under way at once; 1 if 0.
	Flushers int

	// Timeout bounds each flush; none if 0.
	Timeout time.Duration
}

// Committer collects items and flushes them in batches. Its methods may be
// called from many goroutines. It has no goroutines of its own: a flush runs on
// one of its callers, so a lone caller is not even handed over.
type Committer[T any] struct {
	flush func(ctx context.Context, batch []T) []error
	Options[T]

	mu      sync.Mutex
	queue   []*entry[T]     // in the order of arrival
	busy    map[string]bool // keys of the batches under way
	running int             // batches under way
	crowd   bool            // callers are coming together: seen when the latest batch ended
	closed  bool
	idle    sync.Cond // nothing is queued or under way
}

// entry is one item between Do and its result.
type entry[T any] struct {
	ctx  context.Context // of the caller; its values go with the flush, its end does not
	item T
	keys []string
	done chan error    // takes the one result without blocking
	lead chan struct{} // takes the word that this caller is to flush a batch, its own item first
}

// New returns a committer.
//
// flush is given at least one item and returns one error per item, nil for
// those that succeeded. Its context carries the values of one of the callers
// but is not cancelled with any of them; only Options.Timeout ends it.
func New[T any](flush func(ctx context.Context, batch []T) []error, o Options[T]) *Committer[T] {
	o.MaxBatch = cmp.Or(o.MaxBatch, DefaultMaxBatch)
	o.Flushers = max(o.Flushers, 1)
	c := &Committer[T]{flush: flush, Options: o, busy: map[string]bool{}}
	c.idle.L = &c.mu
	return c
}

// Do hands item to the next flush that has room for it and returns that
// flush's error for it.
//
// When ctx ends while the item is queued, it is taken out, nothing is done and
// ctx's error is returned. Once its flush has begun, Do waits for the result.
// After Close it returns ErrClosed.
func (c *Committer[T]) Do(ctx context.Context, item T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e := &entry[T]{ctx: ctx, item: item, done: make(chan error, 1), lead: make(chan struct{}, 1)}
	if c.Keys != nil {
		e.keys = c.Keys(item)
	}
	if err := c.enqueue(e); err != nil {
		return err
	}
	select {
	case err := <-e.done:
		return err
	case <-e.lead:
		c.run(e)
		return <-e.done
	case <-ctx.Done():
	}
	if c.withdraw(e) {
		return ctx.Err()
	}
	select {
	case err := <-e.done:
		return err
	case <-e.lead: // others count on it
		c.run(e)
		return <-e.done
	}
}

// Close refuses further items and waits until those that are queued have been
// flushed. It may be called more than once.
func (c *Committer[T]) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.running > 0 || len(c.queue) > 0 {
		c.idle.Wait()
	}
}

func (c *Committer[T]) enqueue(e *entry[T]) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.queue = append(c.queue, e)
	c.start()
	return nil
}

// start names leaders of batches while there is something to flush and a
// flusher free. The rest of a batch is taken when its leader begins.
func (c *Committer[T]) start() {
	for c.running < c.Flushers {
		leader := c.take(1)
		if len(leader) == 0 {
			break
		}
		c.running++
		leader[0].lead <- struct{}{}
	}
	if c.running == 0 && len(c.queue) == 0 {
		c.idle.Broadcast()
	}
}

// withdraw takes e out of the queue and reports whether it was still there.
func (c *Committer[T]) withdraw(e *entry[T]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.queue, e)
	if i < 0 {
		return false
	}
	c.queue = slices.Delete(c.queue, i, i+1)
	c.start() // its keys no longer keep others back, and Close may wait for it
	return true
}

// take moves up to limit entries that can be flushed now out of the queue:
// those that share no key with a batch under way, with each other, or with an
// entry that came earlier and has to wait.
func (c *Committer[T]) take(limit int) []*entry[T] {
	if c.Keys == nil {
		n := min(len(c.queue), limit)
		taken := slices.Clone(c.queue[:n])
		c.queue = slices.Delete(c.queue, 0, n)
		return taken
	}
	var taken, left []*entry[T]
	passed := map[string]bool{}
	for i, e := range c.queue {
		if len(taken) == limit {
			left = append(left, c.queue[i:]...)
			break
		}
		if slices.ContainsFunc(e.keys, func(k string) bool { return c.busy[k] || passed[k] }) {
			left = append(left, e)
		} else {
			taken = append(taken, e)
		}
		for _, k := range e.keys {
			passed[k] = true
		}
	}
	for _, e := range taken {
		for _, k := range e.keys {
			c.busy[k] = true
		}
	}
	c.queue = left
	return taken
}

// run flushes the batch of leader, gives every caller its result and lets the
// next batch begin.
func (c *Committer[T]) run(leader *entry[T]) {
	batch := c.fill(leader)
	ctx := context.WithoutCancel(leader.ctx)
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	items := make([]T, len(batch))
	for i, e := range batch {
		items[i] = e.item
	}
	errs := c.flush(ctx, items)
	for i, e := range batch {
		if len(errs) != len(batch) {
			e.done <- fmt.Errorf("flush gave %d results for %d items", len(errs), len(batch))
			continue
		}
		e.done <- errs[i]
	}
	c.release(batch)
}

// fill returns the batch of leader. In a crowd it first lets the callers that
// were just answered come back with their next items, instead of missing them
// by a hair: whoever is ready to run goes first. A lone caller waits for no one.
func (c *Committer[T]) fill(leader *entry[T]) []*entry[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crowd {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	return append([]*entry[T]{leader}, c.take(c.MaxBatch-1)...)
}

// release ends a batch: its keys and its flusher are free again.
func (c *Committer[T]) release(batch []*entry[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range batch {
		for _, k := range e.keys {
			delete(c.busy, k)
		}
	}
	c.crowd = len(batch) > 1 || len(c.queue) > 0
	c.running--
	c.start()
}
