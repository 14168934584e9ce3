package listeners

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/session"
)

// ErrNotSubscribed: the listener gets no messages at the moment.
var ErrNotSubscribed = errors.New("not subscribed")

// retryPause is between two attempts to subscribe on a live connection.
const retryPause = 200 * time.Millisecond

// Listener is one member of a queue group on the subjects of its handler. Its
// methods may be called from many goroutines; Run once.
type Listener struct {
	session    *session.Session
	handler    *guard
	opts       Options
	log        *slog.Logger
	now        func() time.Time
	member     string // tells our own hints from those of others
	quarantine *quarantine
	counters   map[event.Subject]*subjectMetrics
	unstored   map[event.Subject]*unstored

	mu      sync.Mutex
	current *generation // nil while not subscribed
	before  firstArrivals
}

// New returns a listener that has messages handled by h and sets aside in q
// what can never be applied, or not in time.
func New(s *session.Session, h Handler, q Quarantine, o Options) (*Listener, error) {
	o = o.withDefaults()
	if err := o.validate(h.Subjects()); err != nil {
		return nil, fmt.Errorf("listener %s: %w", o.Group, err)
	}
	l := &Listener{
		session: s, handler: &guard{Handler: h, log: o.Log}, opts: o, log: o.Log, now: time.Now, member: rand.Text(),
		counters: map[event.Subject]*subjectMetrics{}, unstored: map[event.Subject]*unstored{},
	}
	for _, subject := range h.Subjects() {
		l.unstored[subject] = &unstored{}
		l.counters[subject] = o.Metrics.of(subject)
	}
	l.quarantine = newQuarantine(q, o)
	o.Metrics.watch(l)
	return l, nil
}

// owns reports whether q was set aside by this listener's group on one of its
// subjects: groups share a quarantine.
func (l *Listener) owns(q Quarantined) bool {
	return q.Group == l.opts.Group && slices.Contains(l.handler.Subjects(), q.Subject)
}

// Run works until ctx ends; then it takes no new messages, finishes and
// acknowledges what was begun, leaves the group and returns nil. What it holds
// goes to other members at once. It returns an error only if the session
// ended.
func (l *Listener) Run(ctx context.Context) error {
	counting, stop := context.WithCancel(ctx)
	var count sync.WaitGroup
	count.Go(func() { l.quarantine.watch(counting) })
	defer count.Wait()
	defer stop()
	for ctx.Err() == nil {
		conn, err := l.session.Conn(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.opts.Group, err)
		}
		if err := l.serve(ctx, conn); err != nil {
			l.log.WarnContext(ctx, "subscriptions are made again", "group", l.opts.Group, "err", err)
			pause(ctx, retryPause)
		}
	}
	return nil
}

// serve subscribes on conn and works until ctx ends, the connection is lost or
// its link was healed. The broker may have sent messages into a broken link,
// which it repeats only after AckWait; closing and subscribing again gets them
// at once.
func (l *Listener) serve(ctx context.Context, conn *session.Conn) error {
	healed := conn.Reconnected()
	if l.opts.Losses != nil {
		l.storeMarks(ctx) // of the generation before
		err := within(ctx, func() error { return l.opts.Losses.Check(ctx, conn, l.handler.Subjects()) })
		if err == nil {
			err = l.joinMarks(ctx)
		}
		if err != nil {
			return err
		}
	}
	g := newGeneration(l, conn)
	if err := g.start(ctx); err != nil {
		g.abandon(ctx)
		return err
	}
	l.set(g)
	defer l.set(nil)
	defer func() { l.keep(g.firstArrivals()) }()
	select {
	case <-ctx.Done():
		g.finish(ctx)
	case <-conn.Lost():
		g.abandon(ctx)
	case <-healed:
		l.awaitAnswer(ctx, conn)
		g.abandon(ctx)
	}
	return nil
}

// awaitAnswer waits until the broker answers requests again. A broker that was
// restarted takes connections before it does that; a subscription whose close
// goes unheard stays in the group as a member that nobody listens for.
func (l *Listener) awaitAnswer(ctx context.Context, conn *session.Conn) {
	for ctx.Err() == nil && !closed(conn.Lost()) {
		err := within(ctx, func() error {
			_, err := probe(ctx, conn, l.handler.Subjects()[0], 0, stan.StartWithLastReceived())
			return err
		})
		if err == nil {
			return
		}
		l.log.DebugContext(ctx, "broker does not answer yet", "group", l.opts.Group, "err", err)
		pause(ctx, retryPause)
	}
}

func (l *Listener) set(g *generation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = g
}

func (l *Listener) keep(f firstArrivals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = f
}

// since returns what the generation before this one held.
func (l *Listener) since() firstArrivals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.before
}

func (l *Listener) generation() *generation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
