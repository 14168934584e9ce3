package listeners

import (
	"context"
	"fmt"
	"math"

	"lockstep/replica"
)

// rescue ends the wait of what is early of key: by moving the record to its
// owner's version, or else by setting the messages aside.
func (g *generation) rescue(ctx context.Context, l *lane, key string, cause replica.Cause) {
	defer l.rescued(key)
	why := "its predecessor did not come in time"
	if g.opts.Repairer != nil {
		reached, err := g.opts.Repairer.Repair(ctx, key, cause)
		need, waits := l.missing(key)
		if err == nil && (!waits || reached >= need) {
			g.opts.Metrics.rescues.WithLabelValues("repair").Inc()
			l.look(key, math.MaxInt64)
			g.hints.tell(map[string]int64{key: reached}, nil, g.now())
			return
		}
		if err == nil {
			err = fmt.Errorf("the owner has version %d only", reached)
		}
		why += "; repair: " + err.Error()
	}
	if ctx.Err() == nil {
		g.setAside(ctx, l, key, why)
	}
}

// setAside puts what is early of key into quarantine and acknowledges it.
func (g *generation) setAside(ctx context.Context, l *lane, key, why string) {
	ds := l.evict(key)
	for i, d := range ds {
		if l.giveBack(d) {
			g.acknowledge(ctx, d, g.now())
			continue
		}
		if err := g.aside.put(ctx, d, TooEarly, why); err != nil {
			l.restore(ds[i:])
			if ctx.Err() == nil {
				g.log.WarnContext(ctx, "early messages cannot be set aside and go on waiting", "group", g.opts.Group, "err", err)
			}
			return
		}
		l.finish(d)
		d.channel.count.quarantined.Inc()
		g.acknowledge(ctx, d, g.now())
	}
	if len(ds) > 0 {
		g.opts.Metrics.rescues.WithLabelValues("quarantine").Inc()
		g.aside.reached(key) // what was missing may have come while they were put aside
	}
}
