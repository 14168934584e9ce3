package incident

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	maxPending = 10_000          // incidents that wait in memory to be recorded
	storeWait  = 5 * time.Second // how long a call to the store may take
	recordTick = time.Second     // how often what could not be recorded is tried again
	countTick  = 5 * time.Second // how often open incidents are counted
	pruneTick  = time.Hour

	keepFor    = 90 * 24 * time.Hour // a closed incident is kept that long
	keepClosed = 10_000              // and only while so many newer ones are not

	// maxRounds bounds how often a read is followed by a write that somebody
	// else was faster than.
	maxRounds = 16
)

// Options of a Log.
type Options struct {
	Service    string                // whose incidents these are; required
	Notifier   Notifier              // tells people; nil tells nobody
	Log        *slog.Logger          // slog.Default if nil
	Registerer prometheus.Registerer // nil registers nothing
	Now        func() time.Time      // time.Now if nil
}

// Log records the incidents of one service and has people told of them. Any
// number of processes may have one on the same store.
type Log struct {
	store   Store
	opts    Options
	log     *slog.Logger
	metrics *metrics

	changed chan struct{} // something waits to be recorded
	due     chan struct{} // a notice may be due

	mu      sync.Mutex
	pending map[string]*pending // by key
	telling bool                // people are told of what cannot be recorded
	dropped int                 // raises there was no room for, since that was last said
}

// New returns a log over a store. It records nothing before Run.
func New(store Store, o Options) (*Log, error) {
	if store == nil || o.Service == "" {
		return nil, errors.New("incident log: a store and a service are required")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Log{
		store: store, opts: o, log: o.Log, metrics: newMetrics(o.Registerer),
		changed: make(chan struct{}, 1), due: make(chan struct{}, 1), pending: map[string]*pending{}, telling: o.Notifier != nil,
	}, nil
}

// Raise opens an incident of a cause about a subject, or counts it again if it
// is open. The summary is one sentence with all that is needed to act. Raise
// never blocks and may be called from many goroutines.
func (l *Log) Raise(cause Cause, subject, summary string) {
	l.update(cause, subject, func(p *pending) {
		p.raised++
		p.summary, p.ending = clean(summary), ""
	})
}

// Resolve closes the open incident of a cause about a subject, if there is
// one. ending says in a few words how it ended. Resolve never blocks and may
// be called from many goroutines.
func (l *Log) Resolve(cause Cause, subject, ending string) {
	l.update(cause, subject, func(p *pending) { p.ending = clean(ending) })
}

func (l *Log) update(cause Cause, subject string, change func(*pending)) {
	key := keyOf(l.opts.Service, cause, subject)
	l.mu.Lock()
	p := l.pending[key]
	switch {
	case p != nil:
		change(p)
	case len(l.pending) < maxPending:
		p = &pending{Incident: opened(l.opts.Service, cause, subject, l.now())}
		change(p)
		l.pending[key] = p
	default:
		l.dropped++
	}
	l.mu.Unlock()
	wake(l.changed)
}

// Run records and tells until ctx ends, and returns nil then. What was raised
// until then is recorded before, if the store takes it at once. Run may be
// called once.
func (l *Log) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { l.record(ctx) })
	parts.Go(func() { l.keep(ctx) })
	if l.opts.Notifier != nil {
		parts.Go(func() { l.tell(ctx) })
	}
	parts.Wait()
	l.recordRest(ctx)
	return nil
}

// keep counts what is open and deletes what is old.
func (l *Log) keep(ctx context.Context) {
	var pruned time.Time
	for more := true; more; more = wait(ctx, countTick, nil) {
		if err := l.count(ctx); err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "open incidents cannot be counted", "err", err)
		}
		if time.Since(pruned) < pruneTick {
			continue
		}
		pruned = time.Now()
		if err := l.prune(ctx); err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "old incidents are not deleted", "err", err)
		}
	}
}

func (l *Log) count(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	counts, err := l.store.Counts(ctx)
	unwritten := map[Cause]int{} // what is known here is shown also without the store
	for _, p := range l.snapshot() {
		if p.unwritten && p.ending == "" {
			unwritten[p.Cause]++
		}
	}
	for _, c := range Causes() {
		open := float64(counts[c] + unwritten[c])
		if err != nil && open == 0 {
			open = math.NaN()
		}
		l.metrics.open.WithLabelValues(string(c)).Set(open)
	}
	return err
}

func (l *Log) prune(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	return l.store.Prune(ctx, l.now().Add(-keepFor), keepClosed)
}

// Incidents lists what is recorded.
func (l *Log) Incidents(ctx context.Context, q Query) ([]Incident, error) {
	return l.store.List(ctx, q)
}

// Known reports whether there is an incident of a cause about a subject, open or
// closed.
func (l *Log) Known(ctx context.Context, cause Cause, subject string) (bool, error) {
	found, err := l.store.List(ctx, Query{Key: keyOf(l.opts.Service, cause, subject), Limit: 1})
	return len(found) > 0, err
}

// Close closes an incident by its id, as an operator does. It returns
// ErrNotFound if there is none, and nil if it is closed already.
func (l *Log) Close(ctx context.Context, id, ending string) error {
	err := l.edit(ctx, id, func(i Incident) (Incident, bool) { return i.over(clean(ending), l.now()), i.Open() })
	if err != nil {
		return fmt.Errorf("close incident %s: %w", id, err)
	}
	wake(l.due)
	return nil
}

// edit changes a recorded incident; change says false if there is nothing to
// change. It is called again if somebody else wrote meanwhile.
func (l *Log) edit(ctx context.Context, id string, change func(Incident) (Incident, bool)) error {
	for range maxRounds {
		was, err := l.store.Incident(ctx, id)
		if err != nil {
			return err
		}
		now, changed := change(was)
		if !changed {
			return nil
		}
		if err = l.store.Write(ctx, now); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// now returns the time as stores keep it.
func (l *Log) now() time.Time { return l.opts.Now().UTC().Truncate(time.Millisecond) }

// wake makes whoever waits on c look again.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wait waits for d or for sooner and reports whether ctx goes on.
func wait(ctx context.Context, d time.Duration, sooner <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-sooner:
	}
	return true
}
