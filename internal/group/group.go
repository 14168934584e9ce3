package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Errors of Do that are not the flush's own.
var (
	// ErrClosed: the committer was closed before the item came; nothing was
	// done.
	ErrClosed = errors.New("closed")

	// ErrUnknown: nobody knows whether the item was flushed. The caller gave up
	// while its flush went on, or the flush panicked.
	ErrUnknown = errors.New("outcome unknown")

	// ErrRefused is for stores to return: the engine cannot do it now, and nothing
	// was changed.
	ErrRefused = errors.New("the store is not available")
)

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

	// Inline lets the first caller of a batch flush it by itself. It saves the
	// hand-over to a goroutine, a fifth of a short flush, and costs that this
	// one caller cannot leave before its flush has ended.
	Inline bool

	// Log is told of a flush that panics; slog.Default if nil.
	Log *slog.Logger
}

// Committer collects items and flushes them in batches. Its methods may be
// called from many goroutines. A flush that is not inline has a goroutine of its
// own, which Close waits for.
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
	lead chan struct{} // tells the caller to flush inline, without blocking
}

// New returns a committer.
//
// flush is given at least one item and returns one error per item, nil for
// those that succeeded. Its context carries the values of one of the callers
// but is not cancelled with any of them; only Options.Timeout ends it.
func New[T any](flush func(ctx context.Context, batch []T) []error, o Options[T]) *Committer[T] {
	o.MaxBatch = cmp.Or(o.MaxBatch, DefaultMaxBatch)
	o.Flushers = max(o.Flushers, 1)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	c := &Committer[T]{flush: flush, Options: o, busy: map[string]bool{}}
	c.idle.L = &c.mu
	return c
}

// Do hands item to the next flush that has room for it and returns that
// flush's error for it.
//
// When ctx ends while the item is queued, it is taken out, nothing is done and
// ctx's error is returned. When ctx ends once its flush has begun, the flush
// goes on and Do returns an error that wraps ErrUnknown and ctx's; with
// Options.Inline the first of a batch waits for it instead. After Close it
// returns ErrClosed.
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
	default:
		return fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
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

// start begins batches while there is something to flush and a flusher free.
// The rest of a batch is taken when its first item runs.
func (c *Committer[T]) start() {
	for c.running < c.Flushers {
		first := c.take(1)
		if len(first) == 0 {
			break
		}
		c.running++
		if c.Inline {
			first[0].lead <- struct{}{}
		} else {
			go c.run(first[0])
		}
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

// run flushes the batch that begins with first, gives every caller its result
// and lets the next batch begin.
func (c *Committer[T]) run(first *entry[T]) {
	batch := c.fill(first)
	items := make([]T, len(batch))
	for i, e := range batch {
		items[i] = e.item
	}
	errs := c.results(context.WithoutCancel(first.ctx), items)
	for i, e := range batch {
		e.done <- errs[i]
	}
	c.release(batch)
}

// results flushes items and returns one error for each, whatever flush does.
func (c *Committer[T]) results(ctx context.Context, items []T) (errs []error) {
	defer func() {
		if r := recover(); r != nil {
			c.Log.ErrorContext(ctx, "a flush panicked", "items", len(items), "panic", r, "stack", string(debug.Stack()))
			errs = slices.Repeat([]error{fmt.Errorf("%w: the flush panicked: %v", ErrUnknown, r)}, len(items))
		}
	}()
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	errs = c.flush(ctx, items)
	if len(errs) != len(items) {
		wrong := fmt.Errorf("%w: the flush gave %d results for %d items", ErrUnknown, len(errs), len(items))
		errs = slices.Repeat([]error{wrong}, len(items))
	}
	return errs
}

// fill returns the batch that begins with first. In a crowd it first lets the callers that
// were just answered come back with their next items, instead of missing them
// by a hair: whoever is ready to run goes first. A lone caller waits for no one.
func (c *Committer[T]) fill(first *entry[T]) []*entry[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crowd {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	return append([]*entry[T]{first}, c.take(c.MaxBatch-1)...)
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
