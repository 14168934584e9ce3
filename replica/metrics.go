package replica

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what happens to rows other than by events.
type Metrics struct {
	rows      prometheus.Gauge
	repairs   *prometheus.CounterVec
	conflicts prometheus.Counter
	drift     *prometheus.GaugeVec
	compared  prometheus.Gauge
}

// NewMetrics registers the metrics of this package with reg; nil registers
// nothing.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		rows: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lockstep_replica_rows",
			Help: "Rows of the replica, without tombstones; NaN if not known. The same in every process on one store: take the maximum, not the sum.",
		}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_replica_repairs_total",
			Help: "Rows moved to their owner's version by a snapshot instead of an event, by what caused it.",
		}, []string{"by"}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lockstep_replica_content_conflicts_total",
			Help: "Events that had the version of the stored row and another content.",
		}),
	}
	m.drift = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "lockstep_replica_drift_rows",
		Help: "Rows that differed from their owner in the last whole comparison, before it mended them; NaN if there was none.",
	}, []string{"kind"})
	m.compared = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "lockstep_replica_compared_timestamp_seconds",
		Help: "When the last whole comparison with the owner ended, in seconds since 1970; 0 if there was none.",
	})
	m.rows.Set(math.NaN())
	for _, k := range Kinds() {
		m.drift.WithLabelValues(string(k)).Set(math.NaN())
	}
	for _, c := range causes() {
		m.repairs.WithLabelValues(string(c))
	}
	if reg != nil {
		reg.MustRegister(m.rows, m.repairs, m.conflicts, m.drift, m.compared)
	}
	return m
}

// Rows sets the number of rows the replica has; NaN if nobody knows.
func (m *Metrics) Rows(n float64) { m.rows.Set(n) }

func (m *Metrics) repaired(by Cause) { m.repairs.WithLabelValues(string(by)).Inc() }

// comparedAll tells what a whole comparison found.
func (m *Metrics) comparedAll(drifted map[Kind]int) {
	for _, k := range Kinds() {
		m.drift.WithLabelValues(string(k)).Set(float64(drifted[k]))
	}
	m.compared.SetToCurrentTime()
}
