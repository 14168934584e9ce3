package outbox

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauges show what waits in an outbox. They are refreshed by Watch and never
// read the store when they are scraped. Every process may show them, whether
// its relay leads or stands by.
type Gauges struct {
	pending, oldest, blocked, refreshed prometheus.Gauge
}

// NewGauges registers the gauges with reg; nil registers nothing.
func NewGauges(reg prometheus.Registerer) *Gauges {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "lockstep_outbox_" + name, Help: help})
	}
	g := &Gauges{
		pending:   gauge("pending", "Events that wait to be published."),
		oldest:    gauge("oldest_age_seconds", "Age of the oldest event that waits; 0 if none does."),
		blocked:   gauge("blocked_keys", "Keys whose next event has failed and waits for its retry or an operator."),
		refreshed: gauge("stats_last_success_timestamp_seconds", "When the figures of what waits were last read."),
	}
	if reg != nil {
		reg.MustRegister(g.pending, g.oldest, g.blocked, g.refreshed)
	}
	return g
}

// Watch refreshes the gauges from i once per interval (5 s if 0) until ctx
// ends, and returns nil then. When the store cannot be read the gauges stay as
// they are, and the time of the last success tells.
func (g *Gauges) Watch(ctx context.Context, i Inspector, interval time.Duration, log *slog.Logger) error {
	set(&interval, 5*time.Second)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := g.refresh(ctx, i); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "figures of the outbox are out of date", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (g *Gauges) refresh(ctx context.Context, i Inspector) error {
	stats, err := i.Stats(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	g.pending.Set(float64(stats.Pending))
	g.blocked.Set(float64(stats.BlockedKeys))
	g.oldest.Set(0)
	if stats.Pending > 0 {
		g.oldest.Set(max(now.Sub(stats.Oldest).Seconds(), 0))
	}
	g.refreshed.Set(float64(now.UnixMilli()) / 1000)
	return nil
}
