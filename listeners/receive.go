package listeners

import (
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
)

// receive takes a message in. It runs on the one goroutine of each subscription
// and does not wait for anything.
func (g *generation) receive(c *channel, m *stan.Msg) {
	if g.shut.Load() {
		return
	}
	if m.Redelivered {
		c.count.redelivered.Inc()
	} else {
		c.count.first.Inc()
	}
	for last := c.seen.Load(); m.Sequence > last && !c.seen.CompareAndSwap(last, m.Sequence); last = c.seen.Load() {
	}
	now := g.now()
	c.came.Store(now.UnixNano())
	wider := c.window.saw(len(m.Data), now)
	d := g.decode(c, m)
	if !g.lane(d.key).add(d, c.room(d, g.opts.MaxInFlight)) {
		g.opts.Metrics.refused.Inc()
		c.window.refuse(now)
	}
	if wider || c.size.Load() >= windowBytes {
		select {
		case g.resized <- struct{}{}:
		default:
		}
	}
}

func (g *generation) decode(c *channel, m *stan.Msg) *delivery {
	d := &delivery{
		channel: c, sequence: m.Sequence, sentAt: time.Unix(0, m.Timestamp), payload: m.Data, ack: m,
		arrived: g.since.of(place{c.subject, m.Sequence, m.Timestamp}, g.now()),
	}
	item, err := g.handler.Decode(c.subject, m.Data)
	if err == nil && len(m.Data) > event.MaxPayload {
		err = fmt.Errorf("%w: payload of %d bytes is over the limit of %d", event.ErrInvalid, len(m.Data), event.MaxPayload)
	}
	d.item, d.key = item, item.Key
	if err != nil {
		d.condemn(err)
	}
	return d
}

// lane returns the lane of a key.
func (g *generation) lane(key string) *lane {
	return g.lanes[crc32.ChecksumIEEE([]byte(key))%uint32(len(g.lanes))]
}

// reached takes a peer's word that key reached version.
func (g *generation) reached(key string, version int64) {
	if !g.shut.Load() {
		g.lane(key).look(key, version)
	}
}

// stored takes a peer's word that it set messages of key aside.
func (g *generation) stored(key string) {
	if !g.shut.Load() {
		g.quarantine.waits.Store(true)
		g.lane(key).stores(key)
	}
}

// acknowledge tells the broker that d, which no lane knows any more, is
// durable. An ack that gets lost brings d again, as a duplicate.
func (g *generation) acknowledge(ctx context.Context, d *delivery, now time.Time) {
	d.channel.finished(d, now)
	g.unstored[d.channel.subject].add(d.sequence, d.sentAt)
	if err := d.ack.Ack(); err != nil {
		g.opts.Metrics.ackErrors.Inc()
		g.log.DebugContext(ctx, "ack not sent", "subject", d.channel.subject, "sequence", d.sequence, "err", err)
	}
}
