package listeners

import (
	"context"
	"time"

	"lockstep/event"
)

// batchSize bounds how many deliveries are handled in one call.
const batchSize = 512

// reportEvery bounds how often a failure that goes on is logged.
const reportEvery = 10 * time.Second

// worker handles what its lane brings into order.
type worker struct {
	*generation
	lane     *lane
	reported time.Time // when a failure was logged last
}

// run works until ctx ends, or until drain is closed and the queue is empty.
func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		draining := closed(w.drain)
		batch := w.lane.next(w.now(), batchSize, !draining)
		if ctx.Err() != nil || draining && len(batch) == 0 {
			return
		}
		if len(batch) > 0 {
			w.process(ctx, batch)
			continue
		}
		if alarm := w.lane.alarm(); !alarm.IsZero() {
			timer.Reset(max(alarm.Sub(w.now()), 0))
		}
		select {
		case <-ctx.Done():
		case <-w.drain:
		case <-w.lane.wake:
		case <-timer.C:
		}
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// process handles a batch, acknowledges what is durable afterwards, and tells
// whoever waits for it.
func (w *worker) process(ctx context.Context, batch []*delivery) {
	verdicts := w.judge(ctx, batch)
	now := w.now()
	s := w.lane.settle(batch, verdicts, now)
	w.report(ctx, s.failed, now)
	for _, d := range s.done {
		w.acknowledge(ctx, d, now)
	}
	w.count(batch, verdicts, now)
	w.hints.tell(s.advanced, s.wanted, now)
	w.scoutHot(s.hot)
	w.aside.advanced(s.advanced)
}

// judge returns a verdict per delivery. Poison is not handled but set aside.
func (w *worker) judge(ctx context.Context, batch []*delivery) []Verdict {
	verdicts := make([]Verdict, len(batch))
	items, places := make([]Item, 0, len(batch)), make([]int, 0, len(batch))
	for i, d := range batch {
		if d.poison != nil {
			verdicts[i].Err = w.aside.put(ctx, d, d.reason, d.poison.Error())
			continue
		}
		items, places = append(items, d.item), append(places, i)
	}
	if len(items) == 0 {
		return verdicts
	}
	for i, v := range w.handler.Handle(ctx, items) {
		verdicts[places[i]] = v
	}
	return verdicts
}

func (w *worker) count(batch []*delivery, verdicts []Verdict, now time.Time) {
	for i, d := range batch {
		switch {
		case verdicts[i].Err != nil || verdicts[i].Outcome == event.Early: // counted by the lane, which still has it
		case d.borrowed:
		case d.poison != nil:
			d.channel.count.quarantined.Inc()
		case verdicts[i].Outcome == event.Applied:
			d.channel.count.applied.Inc()
			d.channel.count.lag.Observe(now.Sub(d.sentAt).Seconds())
		default:
			d.channel.count.duplicate.Inc()
		}
	}
}

// report logs failures, from time to time while they go on.
func (w *worker) report(ctx context.Context, err error, now time.Time) {
	if err == nil || now.Sub(w.reported) < reportEvery {
		return
	}
	w.reported = now
	w.log.WarnContext(ctx, "events cannot be applied and are tried again", "group", w.opts.Group, "err", err)
}
