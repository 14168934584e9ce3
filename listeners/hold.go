package listeners

import (
	"context"
	"time"

	"lockstep/replica"
)

const (
	// watchEvery is how often windows and waiting times are looked at, and
	// watchFlood how often while messages are set aside to make room.
	watchEvery = 50 * time.Millisecond
	watchFlood = 5 * time.Millisecond

	// A window is full when this part of it is held, in messages or in bytes;
	// then messages are set aside until the smaller one is.
	fullPart, relievedPart = 0.75, 0.25

	// stallAfter is how long a full window may stand still.
	stallAfter = 50 * time.Millisecond

	// floodFor is how long a channel counts as flooded.
	floodFor = time.Second

	// maxRepairs bounds how many records are repaired side by side.
	maxRepairs = 256
)

// watch keeps held messages from filling the windows, and from waiting for
// ever.
func (g *generation) watch(ctx context.Context) {
	tick := time.NewTimer(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-g.resized:
		}
		now, next := g.now(), watchEvery
		for _, c := range g.channels {
			g.resize(ctx, c)
			if g.relieve(c, now) {
				next = watchFlood
			}
		}
		tick.Reset(next)
		g.repairStuck(ctx, now.Add(-g.opts.HoldFor))
	}
}

// relieve makes room in a window that is full of held messages: what they wait
// for may be behind them, and the broker sends nothing more. It reports whether
// the channel has to be looked at again soon.
func (g *generation) relieve(c *channel, now time.Time) bool {
	held, window := float64(c.waiting.Load()), float64(c.window.size())
	heavy := float64(c.bytes.Load()) >= fullPart*windowBytes
	flooded := now.Sub(c.relieved) < floodFor
	if flooded && c.window.isNarrow() && held > 0 {
		heavy = true // each of them holds up the next
	}
	switch {
	case held < fullPart*window && !heavy:
		c.fullSince = time.Time{}
		return flooded
	case c.fullSince.IsZero():
		c.fullSince = now
	}
	moved := time.Unix(0, c.moved.Load())
	if !flooded && !heavy && (now.Sub(c.fullSince) < stallAfter || now.Sub(moved) < stallAfter) {
		return true
	}
	c.relieved = now
	share := 1 - relievedPart*window/max(held, 1)
	if heavy {
		share = 1
	}
	for _, l := range g.lanes {
		l.relieve(c, share)
	}
	return true
}

// repairStuck ends the wait of what has waited since before a time: by moving
// the record to its owner's version, or else by setting the messages aside.
func (g *generation) repairStuck(ctx context.Context, before time.Time) {
	for _, l := range g.lanes {
		for _, key := range l.stuck(before, cap(g.repairs)-len(g.repairs)) {
			if g.opts.Repairer == nil {
				l.unrepaired(key, "its predecessor did not come in time")
				continue
			}
			g.repairInBackground(ctx, l, key)
		}
	}
}

// repairInBackground begins to repair a record. Only the watch and the sweep
// call it; with no place free, nothing happens.
func (g *generation) repairInBackground(ctx context.Context, l *lane, key string) {
	select {
	case g.repairs <- struct{}{}:
	default:
		return
	}
	g.helping.Go(func() {
		defer func() { <-g.repairs }()
		g.repair(ctx, l, key)
	})
}

func (g *generation) repair(ctx context.Context, l *lane, key string) {
	reached, err := g.opts.Repairer.Repair(ctx, key, replica.ByGap)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.unrepaired(key, "its predecessor did not come in time; repair: "+err.Error())
		return
	}
	if l.repaired(key, reached) {
		g.opts.Metrics.rescues.WithLabelValues("repair").Inc()
	}
	g.hints.tell(map[string]int64{key: reached}, nil, nil, g.now())
	l.got(key, reached)
}
