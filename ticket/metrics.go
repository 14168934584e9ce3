package ticket

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the service decides.
type Metrics struct {
	lockConflicts prometheus.Counter
}

// NewMetrics registers the metrics of this package with reg; nil registers
// nothing.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{lockConflicts: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "lockstep_lock_conflicts_total",
		Help: "Orders that asked for a ticket which another order holds, or which is deleted; they wait.",
	})}
	if reg != nil {
		reg.MustRegister(m.lockConflicts)
	}
	return m
}

func (m *Metrics) conflict() { m.lockConflicts.Inc() }
