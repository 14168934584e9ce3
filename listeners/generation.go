package listeners

import (
	"context"
	"errors"
	"fmt"
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
	repairs  chan struct{} // a place for each repair that goes on
	resized  chan struct{} // holds a token when a window may have to be changed
	began    time.Time
	since    firstArrivals

	shut  atomic.Bool   // nothing is taken in any more
	drain chan struct{} // closed: lanes finish what is queued
	over  chan struct{} // closed: nothing is handled any more

	handling, helping             sync.WaitGroup     // workers; everything else
	cancelHandling, cancelHelping context.CancelFunc // never nil once started
}

func newGeneration(l *Listener, conn *session.Conn) *generation {
	g := &generation{
		Listener: l, conn: conn, drain: make(chan struct{}), over: make(chan struct{}), repairs: make(chan struct{}, maxRepairs),
		resized: make(chan struct{}, 1),
		began:   l.now(), since: l.since(),
	}
	for _, s := range l.handler.Subjects() {
		g.channels = append(g.channels, &channel{subject: s, count: l.counters[s], window: newWindow(l.opts.MaxInFlight, l.now())})
	}
	for range l.opts.Lanes {
		g.lanes = append(g.lanes, newLane(l.opts.AckWait/2))
	}
	g.hints = newHints(conn.NATS(), l.opts.Group, l.member, l.opts.Metrics, g.reached, g.stored)
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
		if err := g.enter(ctx, c); err != nil {
			return err
		}
	}
	g.helping.Go(func() { g.watch(helping) })
	g.helping.Go(func() { g.keepMarks(helping) })
	if g.opts.Losses != nil {
		g.helping.Go(func() { g.watchLosses(helping) })
	}
	g.helping.Go(func() { g.sweep(helping) })
	return nil
}

// channel returns the channel of a subject; nil if the handler has none.
func (g *generation) channel(subject event.Subject) *channel {
	for _, c := range g.channels {
		if c.subject == subject {
			return c
		}
	}
	return nil
}

// enter joins the group on c.
func (g *generation) enter(ctx context.Context, c *channel) error {
	joined := make(chan stan.Subscription, 1)
	err := within(ctx, func() error {
		sub, err := g.join(c, c.window.narrow)
		joined <- sub
		return err
	})
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", c.subject, err)
	}
	c.sub = <-joined
	return nil
}

// join adds a member of the group on c that takes n messages at once.
func (g *generation) join(c *channel, n int) (stan.Subscription, error) {
	sub, err := g.conn.QueueSubscribe(string(c.subject), g.opts.Group,
		func(m *stan.Msg) { g.receive(c, m) },
		stan.DurableName(g.opts.Group),
		stan.DeliverAllAvailable(), // counts for the member that creates the group; without it history is skipped
		stan.SetManualAckMode(),
		stan.AckWait(g.opts.AckWait),
		stan.MaxInflight(n),
	)
	if err != nil {
		return nil, err
	}
	return sub, sub.SetPendingLimits(-1, waitingBytes)
}

// within returns what f returns, or ctx's error if that ends first: what asks a
// broker that is frozen cannot be interrupted. Then f goes on, until its own
// time is up or the connection is closed.
func within(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waited is a function for within.
func waited(wg *sync.WaitGroup) func() error {
	return func() error { wg.Wait(); return nil }
}

// finish ends the generation in order: no new messages, what is queued is
// handled, and the last ack is sent before the group is left.
func (g *generation) finish(ctx context.Context) {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opts.StopWait)
	defer cancel()
	g.shut.Store(true)
	g.cancelHelping()
	_ = within(stop, waited(&g.helping)) // one that asks a frozen broker is not waited for
	close(g.drain)
	late := context.AfterFunc(stop, g.cancelHandling)
	g.handling.Wait()
	close(g.over)
	late()
	g.storeMarks(stop)
	g.leave(stop)
	g.cancelHandling()
}

// abandon ends the generation at once.
func (g *generation) abandon(ctx context.Context) {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opts.StopWait)
	defer cancel()
	g.shut.Store(true)
	g.cancelHandling()
	_ = within(stop, waited(&g.helping)) // as in finish
	g.handling.Wait()
	close(g.over)
	g.leave(stop)
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
		for _, sub := range []stan.Subscription{c.sub, c.window.leave()} {
			if sub != nil {
				closing.Go(func() { g.ended(ctx, string(c.subject), sub.Close()) })
			}
		}
	}
	_ = within(ctx, waited(&closing)) // as in finish
}

func (g *generation) ended(ctx context.Context, what string, err error) {
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, stan.ErrConnectionClosed) {
		g.log.WarnContext(ctx, "subscription did not close cleanly", "group", g.opts.Group, "subject", what, "err", err)
	}
}
