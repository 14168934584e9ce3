package outbox

import (
	"context"
	"slices"
	"time"
)

// deleter deletes published events, many at a time and in the order in which
// they were confirmed: if it is cut short, what is left of a key are its
// latest versions.
type deleter struct {
	relay *Relay
	in    chan []Ref // what waits there is taken as a whole
	done  chan int   // how many were deleted
}

// run deletes until ctx ends. What is not deleted then is published once more
// by whoever leads next.
func (d *deleter) run(ctx context.Context) {
	for {
		refs, ok := d.collect(ctx)
		if !ok {
			return
		}
		for batch := range slices.Chunk(refs, d.relay.opts.DeleteBatch) {
			err := d.relay.trying(ctx, "delete", func() error { return d.relay.store.Delete(ctx, batch) })
			if err != nil {
				return
			}
			select {
			case d.done <- len(batch):
			case <-ctx.Done():
				return
			}
		}
	}
}

// collect waits for records and, after the first, for those that come within the
// delay.
func (d *deleter) collect(ctx context.Context) ([]Ref, bool) {
	var refs []Ref
	var full <-chan time.Time
	for len(refs) < d.relay.opts.DeleteBatch {
		select {
		case more := <-d.in:
			refs = append(refs, more...)
			if full == nil {
				full = time.After(d.relay.opts.DeleteDelay)
			}
		case <-full:
			return refs, true
		case <-ctx.Done():
			return nil, false
		}
	}
	return refs, true
}
