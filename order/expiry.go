package order

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"
)

// Defaults of ExpiryOptions.
const (
	defaultInterval = time.Second
	defaultGrace    = 5 * time.Second
)

// expiryBatch is how many overdue orders share a reading of the payments.
const expiryBatch = 256

// An order that cannot be cancelled is tried again after failedPause, later
// and later up to failedLongest.
const (
	failedPause   = time.Second
	failedLongest = time.Minute
)

// ExpiryOptions configure an Expiry; the zero value is right for tests.
type ExpiryOptions struct {
	Interval time.Duration // between two looks at the store; 1 s if 0
	Grace    time.Duration // after a start, once Ready; 5 s if 0
	Ready    func() error  // nil error: payments are being received; nil not to wait for it
	Metrics  *Metrics      // not counted if nil
	Log      *slog.Logger  // discarded if nil
}

// Expiry cancels reservations whose window has passed. Several processes may
// run it on one store: an order is cancelled once, by whoever is first.
type Expiry struct {
	service *Service
	opts    ExpiryOptions
	failing map[string]failing // orders that could not be cancelled; Run's own

	mu   sync.Mutex
	last error // why orders were left behind at the last look
}

// failing is an order that could not be cancelled.
type failing struct {
	pause time.Duration
	next  time.Time
}

// NewExpiry returns the job.
func NewExpiry(s *Service, o ExpiryOptions) *Expiry {
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Expiry{service: s, opts: o, failing: map[string]failing{}, last: errNoLook}
}

// errNoLook: nothing is cancelled before payments are received.
var errNoLook = errors.New("overdue orders were not looked for yet: that begins some seconds after payments are received")

// Check returns why overdue orders were left behind at the last look, or that
// there was none yet; nil if none were. It may be called from many goroutines.
func (e *Expiry) Check() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

// Run works until ctx ends and returns nil then.
func (e *Expiry) Run(ctx context.Context) error {
	tick := time.NewTicker(e.opts.Interval)
	defer tick.Stop()
	var ready time.Time
	for {
		if ready.IsZero() && (e.opts.Ready == nil || e.opts.Ready() == nil) {
			ready = time.Now()
		}
		if !ready.IsZero() && time.Since(ready) >= e.opts.Grace {
			e.sweep(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look is what one look at the store led to.
type look struct {
	left    int                // overdue and not cancelled
	broken  bool               // the store did not tell all that are overdue
	err     error              // the first reason
	blind   bool               // payments cannot be read: nothing may be cancelled
	failing map[string]failing // what takes the place of the job's
}

func (l *look) leave(n int, err error) {
	l.left += n
	if l.err == nil {
		l.err = err
	}
}

// sweep cancels everything that is overdue. What cannot be cancelled keeps
// nobody else.
func (e *Expiry) sweep(ctx context.Context) {
	l := &look{failing: map[string]failing{}}
	var batch []Due
	for d, err := range e.service.store.Expired(ctx, e.service.now()) {
		if err != nil {
			l.broken = true
			l.leave(0, fmt.Errorf("look for overdue orders: %w", err))
			break
		}
		if d.ExpiresAt.IsZero() {
			l.leave(1, e.fail(ctx, d, l, errNoEnd))
			continue
		}
		if batch = append(batch, d); len(batch) == expiryBatch {
			e.expire(ctx, batch, l)
			batch = batch[:0]
		}
	}
	e.expire(ctx, batch, l)
	if ctx.Err() == nil {
		e.note(ctx, l)
	}
}

// expire cancels the orders of a batch after reading what was paid.
func (e *Expiry) expire(ctx context.Context, batch []Due, l *look) {
	if len(batch) == 0 {
		return
	}
	from := e.service.madeAt(batch[0])
	for _, d := range batch {
		if made := e.service.madeAt(d); made.Before(from) {
			from = made
		}
	}
	if !l.blind {
		if err := e.service.gate.pass(ctx, from); err != nil {
			l.blind = true
			l.leave(0, err)
		}
	}
	if l.blind {
		l.leave(len(batch), nil)
		return
	}
	for _, d := range batch {
		if err := e.expireOne(ctx, d, l); err != nil {
			l.leave(1, err)
		}
	}
}

// errNoEnd: nobody knows whether the order is overdue.
var errNoEnd = errors.New("expiresAt is no time: correct it, or cancel the order")

// errPostponed: it failed a moment ago.
var errPostponed = errors.New("tried again later")

func (e *Expiry) expireOne(ctx context.Context, d Due, l *look) error {
	if before, failed := e.failing[d.OrderID]; failed && time.Now().Before(before.next) {
		l.failing[d.OrderID] = before
		return fmt.Errorf("order %s: %w", d.OrderID, errPostponed)
	}
	err := e.service.gate.owes(ctx, d.OrderID)
	if err == nil {
		_, err = e.service.apply(ctx, d.OrderID, WindowPassed)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	return e.fail(ctx, d, l, err)
}

// fail notes that an order could not be cancelled, says so once, and returns
// why.
func (e *Expiry) fail(ctx context.Context, d Due, l *look, err error) error {
	before, failed := e.failing[d.OrderID]
	if !failed {
		e.opts.Log.WarnContext(ctx, "an overdue order cannot be cancelled and is tried again", "order_id", d.OrderID, "err", err)
	}
	pause := min(max(2*before.pause, failedPause), failedLongest)
	l.failing[d.OrderID] = failing{pause: pause, next: time.Now().Add(pause)}
	return fmt.Errorf("order %s: %w", d.OrderID, err)
}

// note keeps what the look led to, and logs when it is news.
func (e *Expiry) note(ctx context.Context, l *look) {
	e.failing = l.failing
	overdue := float64(l.left)
	if l.broken {
		overdue = math.NaN()
	}
	e.opts.Metrics.looked(overdue, l.err == nil, time.Now())
	err := l.err
	if l.left > 0 {
		err = fmt.Errorf("%d overdue orders are not cancelled: %w", l.left, l.err)
	}
	e.mu.Lock()
	news := (err == nil) != (e.last == nil || errors.Is(e.last, errNoLook))
	e.last = err
	e.mu.Unlock()
	switch {
	case news && err != nil:
		e.opts.Log.WarnContext(ctx, "expiry of orders is behind and goes on by itself", "err", err)
	case news:
		e.opts.Log.InfoContext(ctx, "expiry of orders has caught up")
	}
}
