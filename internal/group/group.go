package group

import (
	"context"
	"errors"
	"fmt"
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
// called from many goroutines. It must be closed.
type Committer[T any] struct {
	flush func(ctx context.Context, batch []T) []error
	Options[T]

	mu     sync.Mutex
	change sync.Cond   // something was queued, a flush ended, or Close was called
	queue  []*entry[T] // in the order of arrival
	busy   map[string]bool
	closed bool

	flushers sync.WaitGroup
}

// entry is one item between Do and its result.
type entry[T any] struct {
	ctx  context.Context // of the caller; its values go with the flush, its end does not
	item T
	keys []string
	done chan error // takes the one result without blocking
}

// New returns a committer and starts its flushers; Close stops them and waits.
//
// flush is given at least one item and returns one error per item, nil for
// those that succeeded. Its context carries the values of one of the callers
// but is not cancelled with any of them; only Options.Timeout ends it.
func New[T any](flush func(ctx context.Context, batch []T) []error, o Options[T]) *Committer[T] {
	if o.MaxBatch == 0 {
		o.MaxBatch = DefaultMaxBatch
	}
	c := &Committer[T]{flush: flush, Options: o, busy: map[string]bool{}}
	c.change.L = &c.mu
	for range max(o.Flushers, 1) {
		c.flushers.Go(c.work)
	}
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
	e := &entry[T]{ctx: ctx, item: item, done: make(chan error, 1)}
	if c.Keys != nil {
		e.keys = c.Keys(item)
	}
	if err := c.enqueue(e); err != nil {
		return err
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		if c.withdraw(e) {
			return ctx.Err()
		}
		return <-e.done
	}
}

// Close refuses further items, waits until those that are queued have been
// flushed, and stops. It may be called more than once.
func (c *Committer[T]) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.change.Broadcast()
	c.flushers.Wait()
}

func (c *Committer[T]) enqueue(e *entry[T]) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.queue = append(c.queue, e)
	c.change.Signal()
	return nil
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
	c.change.Broadcast() // its keys no longer keep others back, and Close may wait for it
	return true
}

// work flushes batches until the committer is closed and the queue is empty.
func (c *Committer[T]) work() {
	for {
		batch := c.next()
		if batch == nil {
			return
		}
		c.run(batch)
		c.release(batch)
	}
}

// next waits for a batch and takes it out of the queue; nil means the end.
func (c *Committer[T]) next() []*entry[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if batch := c.take(); len(batch) > 0 {
			return batch
		}
		if c.closed && len(c.queue) == 0 {
			return nil
		}
		c.change.Wait()
	}
}

// take moves what can be flushed now from the queue into a batch: entries that
// share no key with a running flush, with the batch, or with an entry that
// came earlier and has to wait.
func (c *Committer[T]) take() []*entry[T] {
	if c.Keys == nil {
		n := min(len(c.queue), c.MaxBatch)
		batch := slices.Clone(c.queue[:n])
		c.queue = slices.Delete(c.queue, 0, n)
		return batch
	}
	var batch, left []*entry[T]
	passed := map[string]bool{}
	for i, e := range c.queue {
		if len(batch) == c.MaxBatch {
			left = append(left, c.queue[i:]...)
			break
		}
		free := !slices.ContainsFunc(e.keys, func(k string) bool { return c.busy[k] || passed[k] })
		if free {
			batch = append(batch, e)
		} else {
			left = append(left, e)
		}
		for _, k := range e.keys {
			passed[k] = true
		}
	}
	for _, e := range batch {
		for _, k := range e.keys {
			c.busy[k] = true
		}
	}
	c.queue = left
	return batch
}

// run flushes the batch and gives every caller its result.
func (c *Committer[T]) run(batch []*entry[T]) {
	ctx := context.WithoutCancel(batch[0].ctx)
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
}

// release lets the items go on that share a key with the batch.
func (c *Committer[T]) release(batch []*entry[T]) {
	if c.Keys == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range batch {
		for _, k := range e.keys {
			delete(c.busy, k)
		}
	}
	c.change.Broadcast()
}
