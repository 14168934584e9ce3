package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// dispatcher works through the outbox for one tenure of the lease. Its state
// belongs to the goroutine of run; helpers send what they have learnt.
type dispatcher struct {
	*Relay
	tenure  *tenure
	queue   *queue
	feed    *feed
	deleter *deleter
	errands *errands
	spawn   func(func()) // starts a goroutine that lead waits for

	answers   chan answer // holds a full window, so publishers never block
	published batch       // for the deleter

	found prints // messages on the broker that may be events of the outbox

	stopping bool
	scanned  bool // the backlog has been read once
	paused   bool // the connection to the broker is in question
	pauses   int  // in a row, without a confirmed event in between
	retrying bool // RetryPublishingNATSEvents is under way
	sweeping bool
}

// errUnsettled: a stop did not wait for every answer and delete.
var errUnsettled = errors.New("stopped without all answers")

// answer is what a publisher reported of the head of a lane.
type answer struct {
	lane *lane
	err  error
}

func newDispatcher(r *Relay, t *tenure, spawn func(func())) *dispatcher {
	o := r.opts
	return &dispatcher{
		Relay: r, tenure: t, spawn: spawn,
		queue: newQueue(limits{
			window: o.Window, perKey: o.PerKey, memory: o.MemoryLimit, undeleted: 2 * o.MemoryLimit, bytes: o.MemoryBytes, blocked: o.MaxBlocked,
		}),
		feed: &feed{
			store: r.store, out: make(chan delivery), maxPage: min(1000, max(o.MemoryLimit/8, 1)),
			log: r.log, metrics: r.metrics,
		},
		deleter:   &deleter{relay: r, in: make(chan []Ref), done: make(chan int)},
		errands:   newErrands(),
		answers:   make(chan answer, o.Window),
		published: batch{size: o.DeleteBatch, delay: o.DeleteDelay},
	}
}

// run publishes until ctx ends and everything under way has been settled, or
// with an error until work ends.
func (d *dispatcher) run(ctx, work context.Context) error {
	retry := time.NewTicker(d.opts.RetryInterval)
	defer retry.Stop()
	sweep := time.NewTicker(d.opts.SweepInterval)
	defer sweep.Stop()
	d.inherit(work)
	stop := ctx.Done()
	var deadline <-chan time.Time
	for !d.settled() {
		if err := d.publish(work); err != nil {
			return err
		}
		d.load()
		to, job := d.errands.next()
		select {
		case <-stop:
			stop, d.stopping = nil, true
			deadline = time.After(d.opts.StopTimeout)
		case <-deadline:
			d.log.WarnContext(ctx, "relay stops without all answers: the next one has to look for them", "in_flight", d.queue.flying, "undeleted", d.queue.deletes)
			return errUnsettled
		case <-work.Done():
			return context.Cause(work)
		case a := <-d.answers:
			d.settle(work, a)
		case next := <-d.intake():
			d.take(next)
		case to <- job:
			d.errands.waiting.pop()
		case apply := <-d.errands.back:
			apply()
		case d.deletions() <- d.published.refs:
			d.published.taken()
		case <-d.published.timer:
			d.published.waited(d.queue.flying > 0)
		case n := <-d.deleter.done:
			d.queue.deletes -= n
		case <-retry.C:
			d.retry()
		case <-sweep.C:
			d.sweep()
		}
	}
	return nil
}

// settled reports whether a stop has nothing left to wait for.
func (d *dispatcher) settled() bool {
	return d.stopping && d.queue.flying == 0 && d.queue.deletes == 0 && d.queue.failing == 0
}

// publish hands over what may be published now. The lease is looked at before
// each event, for a process may be paused anywhere.
func (d *dispatcher) publish(ctx context.Context) error {
	for range d.opts.Window {
		if d.paused || d.stopping {
			break
		}
		if !d.tenure.holds() {
			return fmt.Errorf("%w: it ran out before it was renewed", ErrLeaseLost)
		}
		l := d.queue.next()
		if l == nil {
			break
		}
		if d.found.take(&l.waiting.oldest().Event) {
			d.confirm(l)
			d.metrics.found.Inc()
			continue
		}
		if l.done == nil {
			l.done = func(err error) { d.answers <- answer{l, err} }
		}
		d.publisher.Publish(l.waiting.oldest().Event, l.done)
		d.settleArrived(ctx, 1) // an outage is noticed at once
	}
	d.settleArrived(ctx, d.opts.Window)
	d.metrics.inFlight.Set(float64(d.queue.flying))
	return nil
}

// settleArrived settles up to n answers without waiting for any.
func (d *dispatcher) settleArrived(ctx context.Context, n int) {
	for range n {
		select {
		case a := <-d.answers:
			d.settle(ctx, a)
		default:
			return
		}
	}
}

// intake is where the feed delivers, nil while there is no room.
func (d *dispatcher) intake() <-chan delivery {
	if d.stopping || !d.queue.hasRoom() {
		return nil
	}
	return d.feed.out
}

func (d *dispatcher) take(next delivery) {
	news := 0
	for i := range next.Records {
		if d.queue.offer(&next.Records[i], next.InOrder) {
			news++
		}
	}
	d.metrics.woken(next.Source, news)
	d.scanned = d.scanned || next.scanned
}

// deletions is where the deleter listens, nil while there is nothing for it.
func (d *dispatcher) deletions() chan<- []Ref {
	if d.published.ready() || d.stopping && len(d.published.refs) > 0 {
		return d.deleter.in
	}
	return nil
}

// load sends for the records of lanes that have run empty.
func (d *dispatcher) load() {
	if d.stopping {
		return
	}
	for l := d.queue.nextLoad(); l != nil; l = d.queue.nextLoad() {
		key, after, page := l.key, l.last, l.page
		d.errands.send(func(ctx context.Context) func() {
			var records []Record
			err := d.trying(ctx, "read a key", func() (err error) {
				records, err = d.store.Key(ctx, key, after, page)
				return err
			})
			if err != nil {
				return nil
			}
			return func() { d.queue.loaded(l, records) }
		})
	}
}
