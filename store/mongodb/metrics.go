package mongodb

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/internal/group"
)

// metrics counts commits and the troubles of change streams.
type metrics struct {
	batches  prometheus.Histogram
	verdicts *prometheus.CounterVec
	lost     *prometheus.CounterVec
	orphans  prometheus.Counter
	remade   prometheus.Counter
}

// Outcomes of a change.
const (
	outcomeCommitted = "committed"
	outcomeConflict  = "conflict"
	outcomeUnknown   = "unknown"
	outcomeBusy      = "busy" // comes again
	outcomeError     = "error"
)

func newMetrics(reg prometheus.Registerer, t *tails) *metrics {
	m := &metrics{
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lockstep_mongodb_batch_changes", Help: "Changes that shared one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_mongodb_changes_total", Help: "Changes by what became of them.",
		}, []string{"outcome"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_mongodb_stream_lost_total", Help: "Change streams that ended, by reason; each is followed by a scan.",
		}, []string{"reason"}),
		orphans: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lockstep_mongodb_orphans_ended_total", Help: "Transactions ended that a killed or frozen process had left open.",
		}),
		remade: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lockstep_mongodb_remade_total", Help: "Collections and indexes that were dropped while the service ran and that this process made again.",
		}),
	}
	for _, o := range []string{outcomeCommitted, outcomeConflict, outcomeUnknown, outcomeBusy, outcomeError} {
		m.verdicts.WithLabelValues(o)
	}
	for _, r := range reasons() {
		m.lost.WithLabelValues(string(r))
	}
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "lockstep_mongodb_stream_tick_age_seconds",
		Help: "Time since the change stream last answered, with events or without, also of one that died and was not replaced; NaN if there is none.",
	}, t.age)
	if reg != nil {
		reg.MustRegister(m.batches, m.verdicts, m.lost, m.orphans, m.remade, age)
	}
	return m
}

func (m *metrics) batch(n int) { m.batches.Observe(float64(n)) }

func (m *metrics) verdict(err error) {
	outcome := outcomeError
	switch {
	case err == nil:
		outcome = outcomeCommitted
	case errors.Is(err, errCondition), errors.Is(err, errTaken):
		outcome = outcomeConflict
	case errors.Is(err, group.ErrUnknown):
		outcome = outcomeUnknown
	case errors.Is(err, errBusy):
		outcome = outcomeBusy
	}
	m.verdicts.WithLabelValues(outcome).Inc()
}

func (m *metrics) streamLost(r reason) { m.lost.WithLabelValues(string(r)).Inc() }
