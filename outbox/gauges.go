package outbox

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

// After a look at the figures the next one is put off by statsShare times what
// it took, but by statsRest at most: a long outbox must not be counted all the
// time.
const (
	statsShare = 50
	statsRest  = 5 * time.Minute
)

// Gauges show what waits in an outbox. They are refreshed by Watch and never
// read the store when they are scraped; ages are computed then, from what is
// known. What was never read is NaN, and so is a 0 that may have become anything
// since, for the store cannot be read. Every process may show them, whether its
// relay leads or stands by.
type Gauges struct {
	mu    sync.Mutex
	stats Stats
	read  time.Time // when stats were read; zero if never
	err   error     // why they could not be read at the last look
}

// NewGauges registers the gauges with reg; nil registers nothing.
func NewGauges(reg prometheus.Registerer) *Gauges {
	g := &Gauges{}
	if reg == nil {
		return g
	}
	gauge := func(name, help string, value func(Stats) float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lockstep_outbox_" + name, Help: help}, func() float64 {
			g.mu.Lock()
			defer g.mu.Unlock()
			v := value(g.stats)
			if g.read.IsZero() || g.err != nil && v == 0 {
				return math.NaN()
			}
			return v
		}))
	}
	gauge("pending", "Events that wait to be published; beyond 10,000 it may be an estimate.", func(s Stats) float64 { return float64(s.Pending) })
	gauge("oldest_age_seconds", "Age of the oldest event that waits, 0 if none does; negative if a clock was ahead, NaN if not known.", age)
	gauge("blocked_keys", "Keys whose next event has failed and is not published yet.", func(s Stats) float64 { return float64(s.BlockedKeys) })
	gauge("unreadable", "Entries of the outbox that are no events: somebody else wrote them.", func(s Stats) float64 { return float64(s.Unreadable) })
	gauge("stats_last_success_timestamp_seconds", "When the figures of what waits were last read.", func(Stats) float64 {
		return float64(g.read.UnixMilli()) / 1000
	})
	return g
}

func age(s Stats) float64 {
	switch {
	case s.Pending == s.Unreadable:
		return 0
	case s.Oldest.IsZero() || s.Oldest.Unix() == 0:
		return math.NaN() // published between two looks, or it does not tell
	}
	return time.Since(s.Oldest).Seconds()
}

// Watch refreshes the gauges from i once per interval (5 s if 0) until ctx
// ends, and returns nil then. Where a look takes long the next one comes later, and
// in between it is only seen whether the store answers. While it does not the
// figures stay as they are, but for zeros, and the time of the last success tells.
func (g *Gauges) Watch(ctx context.Context, i Inspector, interval time.Duration, log *slog.Logger) error {
	set(&interval, 5*time.Second)
	for due := (time.Time{}); ; {
		began := time.Now()
		early, look := began.Before(due), g.refresh
		if early {
			look = answers
		}
		switch err := look(ctx, i); {
		case err != nil && ctx.Err() == nil:
			due = time.Time{}
			g.fail(err)
			log.WarnContext(ctx, "figures of the outbox are out of date", "err", err)
		case err == nil && !early:
			due = time.Now().Add(min(statsShare*time.Since(began), statsRest))
		}
		if wait(ctx, interval) != nil {
			return nil
		}
	}
}

func (g *Gauges) refresh(ctx context.Context, i Inspector) error {
	stats, err := i.Stats(ctx)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats, g.read, g.err = stats, time.Now(), nil
	return nil
}

func (g *Gauges) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

// answers returns why the store does not answer, as far as a record shows that is
// not there.
func answers(ctx context.Context, i Inspector) error {
	_, err := i.Record(ctx, "none")
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Check returns what is wrong with the outbox as far as the figures tell.
func (g *Gauges) Check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch n := g.stats.Unreadable; {
	case g.err != nil:
		return fmt.Errorf("what waits to be published cannot be read: %w", g.err)
	case g.read.IsZero():
		return errors.New("what waits to be published was not read yet")
	case n > 0:
		return fmt.Errorf("%d entries of the outbox are no events: see lockstep outbox list, then discard them", n)
	}
	return nil
}
