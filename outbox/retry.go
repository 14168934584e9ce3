package outbox

import (
	"context"
	"slices"
)

const (
	// job is the name of the retry job in logs.
	job = "RetryPublishingNATSEvents"

	// retryBatch is how many failed or stale events one look at the store
	// returns.
	retryBatch = 500

	// recheckBatch is how many blocked keys are looked at per interval, in
	// turn, for heads that an operator has discarded.
	recheckBatch = 16
)

// retry runs the job RetryPublishingNATSEvents: failed events whose time has
// come are locked again and go back into their turn.
func (d *dispatcher) retry() {
	if d.paused || d.stopping || d.retrying {
		return
	}
	d.retrying = true
	d.errands.send(func(ctx context.Context) func() {
		var due []Record
		err := d.trying(ctx, job, func() (err error) {
			due, err = d.store.Due(ctx, d.now(), d.now().Add(d.opts.Backoff.Cap), retryBatch)
			return err
		})
		if err != nil {
			return nil
		}
		return func() { d.relock(due) }
	})
}

// relock locks those of the due events that nobody works on.
func (d *dispatcher) relock(due []Record) {
	var free []Record
	var ids []string
	for _, r := range due {
		if d.queue.claim(r) {
			free = append(free, r)
			ids = append(ids, r.ID())
		}
	}
	if len(free) == 0 {
		d.retried()
		return
	}
	d.errands.send(func(ctx context.Context) func() {
		var locked []string
		err := d.trying(ctx, job, func() (err error) {
			locked, err = d.store.Relock(ctx, ids, d.now())
			return err
		})
		if err != nil {
			return nil
		}
		d.log.InfoContext(ctx, "failed events are tried again", "job", job, "events", len(locked))
		found := d.look(ctx, oldestUncertain(free))
		return func() {
			d.learn(found)
			for _, r := range free {
				d.queue.retry(r, slices.Contains(locked, r.ID()))
			}
			d.metrics.retries.Add(float64(len(locked)))
			d.retried()
			if len(due) == retryBatch {
				d.retry()
			}
		}
	})
}

// retried ends a run of the job with a look at some blocked keys. It comes
// last, for a key that is being read cannot be claimed.
func (d *dispatcher) retried() {
	d.retrying = false
	d.queue.recheck(recheckBatch)
}

// sweep looks for locked events that nobody works on: wake-ups that were
// missed and leftovers of a crash. While the backlog is still being read it
// would only find what comes anyway.
func (d *dispatcher) sweep() {
	if d.paused || d.stopping || d.sweeping || !d.scanned || !d.queue.hasRoom() {
		return
	}
	d.sweeping = true
	d.errands.send(func(ctx context.Context) func() {
		var stale []Record
		err := d.trying(ctx, "sweep", func() (err error) {
			stale, err = d.store.Stale(ctx, d.now().Add(-d.opts.StaleAfter), d.now().Add(d.opts.StaleAfter), retryBatch)
			return err
		})
		if err != nil {
			return nil
		}
		return func() { d.adopt(ctx, stale) }
	})
}

func (d *dispatcher) adopt(ctx context.Context, stale []Record) {
	d.sweeping = false
	missed := 0
	for _, r := range stale {
		if d.queue.adopt(r) {
			missed++
		}
	}
	d.metrics.woken(FromSweep, missed)
	if missed > 0 {
		d.log.WarnContext(ctx, "the sweep found events that no wake-up reported", "events", missed)
	}
}
