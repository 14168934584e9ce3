package listeners

import (
	"context"
	"time"

	"lockstep/event"
)

// A batch has at most so many deliveries, and about so many bytes of payloads.
const (
	batchSize  = 512
	batchBytes = 4 << 20
)

// reportEvery bounds how often a failure that goes on is logged.
const reportEvery = 10 * time.Second

// worker handles what its lane brings into order, and sets aside what the lane
// is to get rid of.
type worker struct {
	*generation
	lane     *lane
	reported time.Time // when a failure was logged last
	putAgain time.Time // not before, the quarantine is tried again
}

// run works until ctx ends, or until drain is closed and the queue is empty.
func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		draining := closed(w.drain)
		if !draining {
			w.setAside(ctx)
			w.lookBehind(ctx)
		}
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
	w.release(ctx, s.done, now)
	w.count(batch, verdicts, now)
	w.hints.tell(s.advanced, s.wanted, nil, now)
	for _, h := range s.hot {
		if w.hints.elsewhere(h.Key, now) {
			w.lane.spread(h.Key)
		}
	}
	if w.quarantine.waits.Load() {
		for key, version := range s.advanced {
			w.lane.got(key, version)
		}
	}
	for i, d := range batch {
		if d.reply != nil {
			d.reply <- verdicts[i]
		}
	}
}

// judge returns a verdict per delivery. Poison is not handled but set aside.
func (w *worker) judge(ctx context.Context, batch []*delivery) []Verdict {
	verdicts := make([]Verdict, len(batch))
	items, places := make([]Item, 0, len(batch)), make([]int, 0, len(batch))
	var poison []*delivery
	for i, d := range batch {
		if d.poison != nil {
			poison = append(poison, d)
			continue
		}
		items, places = append(items, d.item), append(places, i)
	}
	if len(poison) > 0 {
		err := w.quarantine.put(ctx, poison)
		for i, d := range batch {
			switch {
			case d.poison == nil:
			case err != nil:
				verdicts[i].Err = err
			default:
				verdicts[i].Outcome = event.Applied
			}
		}
	}
	if len(items) == 0 {
		return verdicts
	}
	for i, v := range w.handler.Handle(ctx, items) {
		verdicts[places[i]] = v
	}
	return verdicts
}

// release acknowledges what is durable, or removes it from quarantine.
func (w *worker) release(ctx context.Context, done []*delivery, now time.Time) {
	var applied []string
	for _, d := range done {
		if d.entry != "" {
			applied = append(applied, d.entry)
			continue
		}
		w.acknowledge(ctx, d, now)
	}
	if _, err := w.quarantine.remove(ctx, applied); err != nil && ctx.Err() == nil {
		w.log.WarnContext(ctx, "applied messages are still in quarantine and will be tried again", "group", w.opts.Group, "err", err)
	}
}

// setAside puts what the lane is to get rid of into quarantine, acknowledges
// it, and looks at it once more: what it waits for may have come before it was
// there for others to see.
func (w *worker) setAside(ctx context.Context) {
	if w.now().Before(w.putAgain) {
		return
	}
	out := w.lane.evict(w.now(), batchSize)
	if len(out) == 0 {
		return
	}
	if err := w.quarantine.put(ctx, out); err != nil {
		w.lane.restore(out)
		w.putAgain = w.now().Add(time.Second)
		w.report(ctx, err, w.now())
		return
	}
	now, keys := w.now(), map[string]struct{}{}
	for _, d := range out {
		w.lane.keep(d, w.quarantine.id(d))
		w.acknowledge(ctx, d, now)
		d.channel.count.quarantined.Inc()
		keys[d.key] = struct{}{}
	}
	w.opts.Metrics.rescues.WithLabelValues("quarantine").Add(float64(len(keys)))
	w.process(ctx, out)
	w.hints.tell(nil, nil, keys, now)
}

// lookBehind takes from quarantine what can follow the keys that got on.
func (w *worker) lookBehind(ctx context.Context) {
	reached := w.lane.progress()
	if len(reached) == 0 {
		return
	}
	entries, more, err := w.quarantine.applicable(ctx, reached)
	if err != nil && ctx.Err() == nil {
		w.log.WarnContext(ctx, "quarantine will be looked at again", "group", w.opts.Group, "err", err)
	}
	for _, q := range entries {
		w.recall(q, nil)
	}
	for key, version := range more {
		w.lane.got(key, version)
	}
}

func (w *worker) count(batch []*delivery, verdicts []Verdict, now time.Time) {
	for i, d := range batch {
		switch {
		case verdicts[i].Err != nil || verdicts[i].Outcome == event.Early: // counted by the lane, which still has it
		case d.poison != nil:
			d.channel.count.quarantined.Inc()
		case verdicts[i].Outcome == event.Applied:
			d.channel.count.applied.Inc()
			if !d.sentAt.IsZero() {
				d.channel.count.lag.Observe(now.Sub(d.sentAt).Seconds())
			}
		default:
			d.channel.count.duplicate.Inc()
		}
	}
}

// report logs failures, from time to time while they go on.
func (w *worker) report(ctx context.Context, err error, now time.Time) {
	if err == nil || ctx.Err() != nil || now.Sub(w.reported) < reportEvery {
		return
	}
	w.reported = now
	w.log.WarnContext(ctx, "events cannot be applied and are tried again", "group", w.opts.Group, "err", err)
}
