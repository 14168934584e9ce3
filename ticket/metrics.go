package ticket

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the service decides, and what differs from the orders
// service.
type Metrics struct {
	lockConflicts prometheus.Counter
	drift         *prometheus.GaugeVec
	compared      prometheus.Gauge
	waiting       prometheus.Gauge
}

// The kinds of locks that differ from what the orders service says.
const (
	driftLost    = "lost"     // an event never came
	driftForged  = "forged"   // something is known that it never said
	driftNoOrder = "no_order" // it has no such order

	driftNoTicket = "no_ticket" // its order takes a ticket that is not here
)

// NewMetrics registers the metrics of this package with reg; nil registers
// nothing.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		lockConflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lockstep_lock_conflicts_total",
			Help: "Orders that asked for a ticket which another order holds, or which is deleted; they wait.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lockstep_lock_waiting",
			Help: "Orders that wait for a ticket that another one holds; NaN if not known. The same in every process on one store: take the maximum, not the sum.",
		}),
		drift: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lockstep_lock_drift",
			Help: "Locks that differed from the orders service in the last whole comparison, before it mended them; those of the kinds no_order and no_ticket it leaves. NaN if there was none.",
		}, []string{"kind"}),
		compared: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lockstep_lock_compared_timestamp_seconds",
			Help: "When the last whole comparison with the orders service ended, in seconds since 1970; 0 if there was none.",
		}),
	}
	for _, kind := range []string{driftLost, driftForged, driftNoOrder, driftNoTicket} {
		m.drift.WithLabelValues(kind).Set(math.NaN())
	}
	m.waiting.Set(math.NaN())
	if reg != nil {
		reg.MustRegister(m.lockConflicts, m.waiting, m.drift, m.compared)
	}
	return m
}

// Waiting notes how many orders wait for a ticket; NaN if nobody knows.
func (m *Metrics) Waiting(n float64) { m.waiting.Set(n) }

func (m *Metrics) conflict() { m.lockConflicts.Inc() }

// Reconciled tells what a comparison of all orders found.
func (m *Metrics) Reconciled(r Reconciled) {
	m.drift.WithLabelValues(driftLost).Set(float64(r.Lost))
	m.drift.WithLabelValues(driftForged).Set(float64(r.Forged))
	m.drift.WithLabelValues(driftNoOrder).Set(float64(r.NoOrder))
	m.drift.WithLabelValues(driftNoTicket).Set(float64(r.NoTicket))
	m.compared.SetToCurrentTime()
}
