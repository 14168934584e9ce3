package replica

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what happens to rows other than by events.
type Metrics struct {
	rows      prometheus.Gauge
	repairs   *prometheus.CounterVec
	conflicts prometheus.Counter
}

// NewMetrics registers the metrics of this package with reg; nil registers
// nothing.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		rows: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lockstep_replica_rows",
			Help: "Rows of the replica, without tombstones. The same in every process on one store: take the maximum, not the sum.",
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
	for _, c := range causes() {
		m.repairs.WithLabelValues(string(c))
	}
	if reg != nil {
		reg.MustRegister(m.rows, m.repairs, m.conflicts)
	}
	return m
}

// Rows sets the number of rows the replica has.
func (m *Metrics) Rows(n int) { m.rows.Set(float64(n)) }

func (m *Metrics) repaired(by Cause) { m.repairs.WithLabelValues(string(by)).Inc() }
