package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Relay publishes what waits in a store. Any number of relays may run on one
// store, in one process or many: a lease lets one of them work at a time.
type Relay struct {
	store     Store
	leases    Leases
	publisher Publisher
	opts      Options
	log       *slog.Logger
	metrics   *metrics
}

// NewRelay returns a relay that has not begun to work. The error names every
// missing dependency and every option that is out of range.
func NewRelay(store Store, leases Leases, publisher Publisher, opts Options) (*Relay, error) {
	var errs []error
	if store == nil || leases == nil || publisher == nil {
		errs = append(errs, errors.New("store, leases and publisher are required"))
	}
	opts = opts.withDefaults()
	if err := errors.Join(append(errs, opts.validate())...); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return &Relay{
		store: store, leases: leases, publisher: publisher, opts: opts,
		log:     opts.Log.With("lease", opts.Name, "owner", opts.Owner),
		metrics: newMetrics(opts.Registerer, opts.Subjects),
	}, nil
}

// Run works until ctx ends and returns nil then. While another relay holds the
// lease it stands by. Run may be called once at a time.
//
// When ctx ends, Run takes up nothing more, waits up to StopTimeout for
// outstanding answers of the broker, deletes what was confirmed and releases
// the lease, so that another relay takes over at once.
func (r *Relay) Run(ctx context.Context) error {
	for {
		t, err := r.acquire(ctx)
		if err != nil {
			return nil // only ctx ends the wait for the lease
		}
		r.log.InfoContext(ctx, "relay leads", "epoch", t.lease.Epoch)
		err = r.lead(ctx, t)
		if ctx.Err() != nil {
			r.release(ctx, t, err == nil)
			return nil
		}
		r.metrics.leaseLost.Inc()
		r.log.WarnContext(ctx, "relay stands by", "epoch", t.lease.Epoch, "err", err)
	}
}

// lead works under the lease until ctx ends or the lease is lost, which is the
// error. Everything it starts has ended when it returns.
func (r *Relay) lead(ctx context.Context, t *tenure) error {
	r.metrics.leading.Set(1)

	// A stop does not cut off the deletes of what was confirmed.
	work, end := context.WithCancelCause(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	defer helpers.Wait() // a store that hangs takes its time
	defer r.metrics.stands()
	defer end(nil)

	d := newDispatcher(r, t, helpers.Go)
	reading, stopReading := context.WithCancel(work)
	defer context.AfterFunc(ctx, stopReading)()
	defer stopReading()

	helpers.Go(func() { end(r.keep(work, t)) })
	helpers.Go(func() { d.feed.run(reading) })
	helpers.Go(func() { d.deleter.run(work) })
	for range errandWorkers {
		helpers.Go(func() { d.errands.run(work) })
	}
	return d.run(ctx, work)
}

// trying calls f until it succeeds, fails with ErrNotFound or ctx ends, and
// returns the last error.
func (r *Relay) trying(ctx context.Context, what string, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || errors.Is(err, ErrNotFound) || ctx.Err() != nil {
			return err
		}
		pause := trouble.delay(attempt)
		r.log.WarnContext(ctx, "the outbox store is tried again", "operation", what, "in", pause, "err", err)
		if wait(ctx, pause) != nil {
			return err
		}
	}
}

// now returns the time as stores keep it.
func (r *Relay) now() time.Time { return r.opts.Now().UTC().Truncate(time.Millisecond) }
