package listeners

import (
	"context"
	"slices"
	"time"
)

const (
	// sweepEvery is how often a page of what waits in quarantine is tried: its
	// predecessor may have come by other means than this group's messages.
	sweepEvery = 5 * time.Second

	// sweepRepairs is how many records of a page are repaired.
	sweepRepairs = 16
)

// sweep tries what waits in quarantine, a page at a time, until ctx ends.
func (g *generation) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	after := ""
	for ctx.Err() == nil {
		empty := g.quarantine.known.Load() && g.quarantine.total.Load() == 0
		if !empty && !slices.ContainsFunc(g.lanes, (*lane).busy) {
			var err error
			if after, err = g.sweepPage(ctx, after); err != nil && ctx.Err() == nil {
				g.log.WarnContext(ctx, "quarantine will be looked at again", "group", g.opts.Group, "err", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// sweepPage tries the records behind one and returns the last it came to, or ""
// at the end.
func (g *generation) sweepPage(ctx context.Context, after string) (string, error) {
	page, err := g.quarantine.store.Waiting(ctx, g.opts.Group, after, quarantinePage)
	if err != nil {
		return after, err
	}
	if after == "" {
		g.quarantine.waits.Store(len(page) > 0)
	}
	repairs := sweepRepairs
	for i, q := range page {
		g.recall(q, nil)
		first := i == 0 || page[i-1].Key != q.Key
		if first && repairs > 0 && g.opts.Repairer != nil && g.now().Sub(q.At) > g.opts.HoldFor {
			repairs--
			g.repairInBackground(ctx, g.lane(q.Key), q.Key)
		}
	}
	if len(page) == 0 {
		return "", nil
	}
	return page[len(page)-1].Key, nil
}

// recall takes an entry of the quarantine into the lane of its key. It reports
// false if it is there already, cannot be read any more (a person decides
// then), or belongs to another listener.
func (g *generation) recall(q Quarantined, reply chan<- Verdict) bool {
	c := g.channel(q.Subject)
	if c == nil {
		return false
	}
	item, err := g.handler.Decode(q.Subject, q.Payload)
	if err != nil {
		return false
	}
	d := &delivery{channel: c, sequence: q.Sequence, payload: q.Payload, item: item, key: item.Key, arrived: g.now(), sentAt: q.At, entry: q.ID, reply: reply}
	return g.lane(d.key).recall(d)
}

// waits reports whether q is applied by itself once it can be.
func (q Quarantined) waits() bool { return q.Reason == TooEarly || q.Reason == Failing }
