package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// releaseTimeout bounds the last call of a stop.
const releaseTimeout = 2 * time.Second

// tenure is a lease with the time until which its holder may trust it. That is
// measured from before the store was asked, so it ends before the store's own,
// and on two clocks: the monotonic one, which cannot be set but stops while the
// machine is suspended, and the wall clock, which does not stop but can be set.
type tenure struct {
	lease Lease
	ttl   time.Duration
	wall  func() time.Time
	ends  atomic.Pointer[[2]time.Time] // on the monotonic clock, and on the wall clock
}

// extend trusts the lease, which was asked for at the given times of both
// clocks, for a term less a margin for what is already on its way to the broker.
func (t *tenure) extend(asked, wall time.Time) {
	term := t.ttl - t.ttl/10
	t.ends.Store(&[2]time.Time{asked.Add(term), wall.Round(0).Add(term)})
}

// holds reports whether the lease may be trusted now.
func (t *tenure) holds() bool {
	ends := t.ends.Load()
	return time.Now().Before(ends[0]) && t.wall().Round(0).Before(ends[1])
}

// acquire waits for the lease. Its error is ctx's.
func (r *Relay) acquire(ctx context.Context) (*tenure, error) {
	ttl := r.opts.LeaseTTL
	for attempt := 1; ; {
		asked, wall := time.Now(), r.opts.Now()
		l, ok, err := r.leases.Acquire(ctx, r.opts.Name, r.opts.Owner, ttl)
		if ok && err == nil {
			t := &tenure{lease: l, ttl: ttl, wall: r.opts.Now}
			t.extend(asked, wall)
			return t, nil
		}
		pause := jitter(ttl / 5) // cheap, and a clean stop is followed by a quick take-over
		if err != nil && ctx.Err() == nil {
			pause = max(pause, trouble.delay(attempt))
			attempt++
			r.log.WarnContext(ctx, "the lease is asked for again", "in", pause, "err", err)
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// keep renews the lease until ctx ends or the lease is lost, and returns why.
func (r *Relay) keep(ctx context.Context, t *tenure) error {
	pause := t.ttl / 3
	for {
		if err := wait(ctx, pause); err != nil {
			return err
		}
		if !t.holds() {
			return fmt.Errorf("%w: it could not be renewed in time", ErrLeaseLost)
		}
		asked, wall := time.Now(), r.opts.Now()
		err := r.renew(ctx, t)
		switch {
		case err == nil:
			t.extend(asked, wall)
			pause = t.ttl / 3
		case errors.Is(err, ErrLeaseLost):
			return err
		case ctx.Err() == nil:
			pause = t.ttl / 10
			r.log.WarnContext(ctx, "the lease is renewed again", "in", pause, "err", err)
		}
	}
}

func (r *Relay) renew(ctx context.Context, t *tenure) error {
	ctx, cancel := context.WithTimeout(ctx, t.ttl/3)
	defer cancel()
	return r.leases.Renew(ctx, t.lease, t.ttl)
}

// release gives the lease up at a stop. If that does not work it runs out.
func (r *Relay) release(ctx context.Context, t *tenure, settled bool) {
	t.lease.Settled = settled
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := r.leases.Release(ctx, t.lease); err != nil {
		r.log.WarnContext(ctx, "the lease was not released and has to run out", "epoch", t.lease.Epoch, "err", err)
		return
	}
	r.log.InfoContext(ctx, "relay stopped", "epoch", t.lease.Epoch)
}
