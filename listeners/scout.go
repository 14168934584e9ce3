package listeners

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/stan.go"
)

const (
	// scoutWindow is the scout's own window; it acknowledges by itself.
	scoutWindow = 512

	// scoutIdle ends a scout that reached the end of the channel, and
	// scoutLong any other.
	scoutIdle = 100 * time.Millisecond
	scoutLong = 5 * time.Second

	// hotKey is how many messages of one key wait when it is worth reading
	// what peers hold of it from the channel, instead of handing the key from
	// member to member version by version.
	hotKey = 8
)

// errand is what a scout looks for on a channel.
type errand struct {
	channel *channel
	from    uint64
	to      uint64 // 0: to the end of the channel
	key     string // "": whatever something waits for
}

// scout reads a channel past the group, from one sequence to another, and
// borrows what is missing here. Borrowed messages are applied like others and
// never acknowledged: the group delivers them too, as duplicates then.
func (g *generation) scout(ctx context.Context, e errand) {
	defer e.channel.scouting.Store(false)
	ctx, cancel := context.WithTimeout(ctx, scoutLong)
	defer cancel()
	idle := time.NewTimer(scoutIdle)
	defer idle.Stop()
	arrived, over := make(chan struct{}, 1), make(chan struct{})
	end := sync.OnceFunc(func() { close(over) })
	sub, err := g.conn.Subscribe(string(e.channel.subject), func(m *stan.Msg) {
		select {
		case arrived <- struct{}{}:
		default:
		}
		if e.to == 0 || m.Sequence <= e.to {
			g.borrow(e, m)
		}
		if e.to != 0 && m.Sequence >= e.to {
			end()
		}
	}, stan.StartAtSequence(e.from), stan.MaxInflight(scoutWindow), stan.AckWait(g.opts.AckWait))
	if err != nil {
		g.log.WarnContext(ctx, "scout not subscribed", "subject", e.channel.subject, "err", err)
		return
	}
	g.opts.Metrics.scouts.Inc()
	for waiting := true; waiting; {
		select {
		case <-arrived:
			idle.Reset(scoutIdle)
		case <-ctx.Done():
			waiting = false
		case <-over:
			waiting = false
		case <-idle.C:
			waiting = false
		}
	}
	g.ended(ctx, string(e.channel.subject), sub.Close())
}

// borrow takes in what the scout looks for.
func (g *generation) borrow(e errand, m *stan.Msg) {
	if g.shut.Load() {
		return
	}
	d := g.decode(e.channel, m)
	d.borrowed = true
	if d.poison != nil || e.key != "" && d.key != e.key {
		return
	}
	if l := g.lane(d.key); l.lacks(d, e.key != "") {
		l.add(d, e.channel.borrowed.Load() < int64(g.opts.MaxInFlight))
	}
}

// sendScout asks for a scout, unless one is out on the channel.
func (g *generation) sendScout(e errand) {
	if !e.channel.scouting.CompareAndSwap(false, true) {
		return
	}
	select {
	case g.errands <- e:
	default:
		e.channel.scouting.Store(false)
	}
}

// scoutHot reads on a channel what peers hold of a key that many messages wait
// for here. Of the members the key is hot for, one does it.
func (g *generation) scoutHot(hot []want) {
	for _, w := range hot {
		from, ours := g.hints.contended(w, g.now())
		if !ours {
			continue
		}
		for _, c := range g.channels {
			if c.subject == w.Subject {
				g.sendScout(errand{channel: c, from: from, to: c.seen.Load(), key: w.Key})
			}
		}
	}
}
