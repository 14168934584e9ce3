package listeners

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/session"
)

// generation is a set of subscriptions and all that was received by them. When
// one of them ends, all end and everything is forgotten: it was not
// acknowledged and comes again.
type generation struct {
	*Listener
	conn     *session.Conn
	channels []*channel
	lanes    []*lane
	hints    *hints
	hearing  *nats.Subscription
	rescues  chan struct{} // a place for each rescue that goes on
	errands  chan errand   // for scouts

	shut  atomic.Bool   // nothing is taken in any more
	drain chan struct{} // closed: lanes finish what is queued

	handling, helping             sync.WaitGroup     // workers; everything else
	cancelHandling, cancelHelping context.CancelFunc // never nil once started
}

func newGeneration(l *Listener, conn *session.Conn) *generation {
	g := &generation{
		Listener: l, conn: conn, drain: make(chan struct{}),
		rescues: make(chan struct{}, maxRescues), errands: make(chan errand, len(l.counters)),
	}
	for _, s := range l.handler.Subjects() {
		g.channels = append(g.channels, &channel{subject: s, count: l.counters[s]})
	}
	for range l.opts.Lanes {
		g.lanes = append(g.lanes, newLane(l.opts.AckWait/2))
	}
	g.hints = newHints(conn.NATS(), l.opts.Group, l.member, l.opts.Metrics, g.heard)
	return g
}

// start begins to work and subscribes. After an error the generation must be
// abandoned.
func (g *generation) start(ctx context.Context) error {
	handling, cancelHandling := context.WithCancel(context.WithoutCancel(ctx))
	helping, cancelHelping := context.WithCancel(handling)
	g.cancelHandling, g.cancelHelping = cancelHandling, cancelHelping
	for _, l := range g.lanes {
		w := &worker{generation: g, lane: l}
		g.handling.Go(func() { w.run(handling) })
	}
	hearing, err := g.hints.subscribe()
	if err != nil {
		return fmt.Errorf("hear hints: %w", err)
	}
	g.hearing = hearing
	for _, c := range g.channels {
		if err := g.join(c); err != nil {
			return err
		}
	}
	g.helping.Go(func() { g.watch(helping) })
	g.helping.Go(func() { g.keepMarks(helping) })
	g.helping.Go(func() { g.aside.run(helping, g.progress) })
	return nil
}

// join adds a member of the group on c.
func (g *generation) join(c *channel) error {
	sub, err := g.conn.QueueSubscribe(string(c.subject), g.opts.Group,
		func(m *stan.Msg) { g.receive(c, m) },
		stan.DurableName(g.opts.Group),
		stan.DeliverAllAvailable(), // counts for the member that creates the group; without it history is skipped
		stan.SetManualAckMode(),
		stan.AckWait(g.opts.AckWait),
		stan.MaxInflight(g.opts.MaxInFlight),
	)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", c.subject, err)
	}
	c.subs = append(c.subs, sub)
	return nil
}

// receive takes a message in. It runs on the subscription's one goroutine and
// does not wait for anything.
func (g *generation) receive(c *channel, m *stan.Msg) {
	if g.shut.Load() {
		return
	}
	if m.Redelivered {
		c.count.redelivered.Inc()
	} else {
		c.count.first.Inc()
	}
	if m.Sequence > c.seen.Load() { // its members' goroutines may race; then it is a little behind
		c.seen.Store(m.Sequence)
	}
	d := g.decode(c, m)
	if !g.lane(d.key).add(d, c.unacked.Load() < g.room()) {
		c.refused.Store(true)
		g.opts.Metrics.refused.Inc()
	}
}

// room is how many messages of one channel are kept at most. What finds none is
// reclaimed later.
func (g *generation) room() int64 {
	return int64(g.opts.MaxInFlight * (2 + g.opts.MaxOverflow))
}

func (g *generation) decode(c *channel, m *stan.Msg) *delivery {
	d := &delivery{
		channel: c, sequence: m.Sequence, sentAt: time.Unix(0, m.Timestamp), payload: m.Data, ack: m, arrived: g.now(),
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

// heard takes a peer's word that key reached version.
func (g *generation) heard(key string, version int64) {
	if g.shut.Load() {
		return
	}
	g.lane(key).look(key, version)
	g.aside.reached(key)
}

// progress takes note of keys that got on by other means than a lane.
func (g *generation) progress(advanced map[string]int64) {
	for key, version := range advanced {
		g.lane(key).look(key, version)
	}
	g.hints.tell(advanced, nil, g.now())
}

// acknowledge tells the broker that d, which no lane knows any more, is
// durable. An ack that gets lost brings d again, as a duplicate.
func (g *generation) acknowledge(ctx context.Context, d *delivery, now time.Time) {
	if d.borrowed {
		d.channel.borrowed.Add(-1)
		return
	}
	d.channel.finished(now)
	if err := d.ack.Ack(); err != nil {
		g.opts.Metrics.ackErrors.Inc()
		g.log.DebugContext(ctx, "ack not sent", "subject", d.channel.subject, "sequence", d.sequence, "error", err)
		return
	}
	d.channel.mark.raise(d.sequence, d.sentAt)
}

// finish ends the generation in order: no new messages, what is queued is
// handled, and the last ack is sent before the group is left.
func (g *generation) finish(ctx context.Context) {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opts.StopWait)
	defer cancel()
	g.shut.Store(true)
	g.cancelHelping()
	g.helping.Wait()
	close(g.drain)
	late := context.AfterFunc(stop, g.cancelHandling)
	g.handling.Wait()
	late()
	g.storeMarks(stop)
	g.leave(ctx)
	g.cancelHandling()
}

// abandon ends the generation at once.
func (g *generation) abandon(ctx context.Context) {
	g.shut.Store(true)
	g.cancelHandling()
	g.helping.Wait()
	g.handling.Wait()
	g.leave(ctx)
}

// leave closes the subscriptions, which hands what is unacknowledged to other
// members. It never unsubscribes: that would delete the group's position.
func (g *generation) leave(ctx context.Context) {
	if g.hearing != nil {
		g.ended(ctx, "hints", g.hearing.Unsubscribe())
	}
	if !g.conn.Connected() {
		return
	}
	var closing sync.WaitGroup // a broker that does not answer is waited for once
	for _, c := range g.channels {
		for _, sub := range c.subs {
			closing.Go(func() { g.ended(ctx, string(c.subject), sub.Close()) })
		}
	}
	closing.Wait()
}

func (g *generation) ended(ctx context.Context, what string, err error) {
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, stan.ErrConnectionClosed) {
		g.log.WarnContext(ctx, "subscription did not close cleanly", "group", g.opts.Group, "subject", what, "error", err)
	}
}
