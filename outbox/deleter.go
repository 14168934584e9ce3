package outbox

import (
	"context"
	"slices"
	"time"
)

// patience is how many delays an event waits for others to share its delete
// while more are with the broker.
const patience = 4

// batch collects published events until it is worth deleting them.
type batch struct {
	size  int
	delay time.Duration
	refs  []Ref
	timer <-chan time.Time // what has to be heard by waited
	turns int              // how many delays the oldest has waited
	due   bool
}

func (b *batch) add(r Ref) {
	if len(b.refs) == 0 {
		b.timer = time.After(b.delay)
	}
	b.refs = append(b.refs, r)
}

// waited is called when a delay is over. more says that more events are about
// to come.
func (b *batch) waited(more bool) {
	b.turns++
	b.due = !more || b.turns >= patience
	if b.due {
		b.timer = nil
	} else {
		b.timer = time.After(b.delay)
	}
}

func (b *batch) ready() bool { return b.due || len(b.refs) >= b.size }

// taken empties b.
func (b *batch) taken() { *b = batch{size: b.size, delay: b.delay} }

// deleter deletes published events, many at a time and in the order in which
// they were confirmed: if it is cut short, what is left of a key are its
// latest versions.
type deleter struct {
	relay *Relay
	in    chan []Ref
	done  chan int // how many were deleted
}

// run deletes until ctx ends. What is not deleted then, whoever leads next
// finds on the broker.
func (d *deleter) run(ctx context.Context) {
	for {
		select {
		case refs := <-d.in:
			if !d.delete(ctx, refs) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// delete reports whether it was not cut short.
func (d *deleter) delete(ctx context.Context, refs []Ref) bool {
	for some := range slices.Chunk(refs, d.relay.opts.DeleteBatch) {
		if err := d.relay.trying(ctx, "delete", func() error { return d.relay.store.Delete(ctx, some) }); err != nil {
			return false
		}
		select {
		case d.done <- len(some):
		case <-ctx.Done():
			return false
		}
	}
	return true
}
