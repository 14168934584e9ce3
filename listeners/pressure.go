package listeners

import (
	"context"
	"math"
	"time"

	"lockstep/replica"
)

const (
	// watchEvery is how often windows and waiting times are looked at.
	watchEvery = 50 * time.Millisecond

	// A window is full when this part of it is early, and relieved down to
	// the smaller one. Between them lies what is on its way to the handler.
	fullPart, relievedPart, calmPart = 0.75, 0.5, 0.25

	// stallAfter is how long a full window may stand still.
	stallAfter = 150 * time.Millisecond

	// calmAfter is how long an overflow member stays when it is not needed.
	calmAfter = 5 * time.Second

	// maxRescues bounds how many records are rescued side by side.
	maxRescues = 256
)

// watch keeps early messages from filling the windows, and from waiting for
// ever.
func (g *generation) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-g.errands:
			g.helping.Go(func() { g.scout(ctx, e) })
			continue
		case <-tick.C:
		}
		now := g.now()
		for _, c := range g.channels {
			g.relieve(ctx, c, now)
			g.reclaim(ctx, c, now)
		}
		g.rescueStuck(ctx, now.Add(-g.opts.HoldFor), math.MaxInt, replica.ByGap)
	}
}

// relieve makes room in a window that is full of early messages: what they
// wait for may be behind them, and the broker sends nothing more. A scout
// reads what is behind; then, another member of the group has a window of its
// own; when there are enough of them, records are rescued.
func (g *generation) relieve(ctx context.Context, c *channel, now time.Time) {
	window := float64(g.opts.MaxInFlight * len(c.subs))
	early := float64(c.early.Load())
	switch {
	case early < fullPart*window:
		c.fullSince = time.Time{}
		g.relax(ctx, c, now)
	case c.fullSince.IsZero():
		c.fullSince = now
	case now.Sub(c.fullSince) < stallAfter || now.Sub(time.Unix(0, c.moved.Load())) < stallAfter:
	case c.scouting.Load():
	case c.scouted <= c.seen.Load():
		c.scouted = c.seen.Load() + 1
		g.sendScout(errand{channel: c, from: c.scouted})
	case len(c.subs) <= g.opts.MaxOverflow:
		c.fullSince = time.Time{}
		g.overflow(ctx, c)
	default:
		if now.Sub(c.told) >= reportEvery {
			c.told = now
			g.log.WarnContext(ctx, "early messages fill every window: their records are repaired or they are set aside",
				"subject", c.subject, "held", c.early.Load(), "members", len(c.subs))
		}
		g.rescueStuck(ctx, now, int(early-relievedPart*window), replica.ByPressure)
	}
}

func (g *generation) overflow(ctx context.Context, c *channel) {
	if err := g.join(c); err != nil {
		g.log.WarnContext(ctx, "overflow member not subscribed", "subject", c.subject, "err", err)
		return
	}
	g.opts.Metrics.overflow.Inc()
	g.log.InfoContext(ctx, "early messages fill the window: another member joins",
		"subject", c.subject, "held", c.early.Load(), "members", len(c.subs))
}

// relax lets an overflow member go that has not been needed for a while. What
// it has not acknowledged goes to the others.
func (g *generation) relax(ctx context.Context, c *channel, now time.Time) {
	if len(c.subs) == 1 || float64(c.unacked.Load()) > calmPart*float64(g.opts.MaxInFlight) {
		c.calmSince = time.Time{}
		return
	}
	if c.calmSince.IsZero() {
		c.calmSince = now
	}
	if now.Sub(c.calmSince) < calmAfter {
		return
	}
	last := len(c.subs) - 1
	g.ended(ctx, string(c.subject), c.subs[last].Close())
	c.subs = c.subs[:last]
}

// reclaim gets what was refused once there is room again: the broker hands the
// unacknowledged messages of a member that leaves to those that stay, whatever
// their windows, and would repeat what one of them refused after AckWait only.
func (g *generation) reclaim(ctx context.Context, c *channel, now time.Time) {
	used := float64(c.unacked.Load()) / float64(g.room())
	still := now.Sub(time.Unix(0, c.moved.Load())) >= stallAfter
	if !c.refused.Load() || used > fullPart || used > calmPart && !still {
		return
	}
	c.refused.Store(false)
	old := c.subs
	c.subs = nil
	if err := g.join(c); err != nil {
		c.subs = old
		c.refused.Store(true)
		g.log.WarnContext(ctx, "member not subscribed again", "subject", c.subject, "err", err)
		return
	}
	for _, sub := range old {
		g.ended(ctx, string(c.subject), sub.Close())
	}
}

// rescueStuck begins to rescue up to n records something is missing of since
// before a time.
func (g *generation) rescueStuck(ctx context.Context, before time.Time, n int, cause replica.Cause) {
	for _, l := range g.lanes {
		// Only this goroutine takes places, so the free ones stay free.
		free := min(n, cap(g.rescues)-len(g.rescues))
		keys := l.stuck(before, free)
		n -= len(keys)
		for _, key := range keys {
			g.rescues <- struct{}{}
			g.helping.Go(func() {
				defer func() { <-g.rescues }()
				g.rescue(ctx, l, key, cause)
			})
		}
	}
}
