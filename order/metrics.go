package order

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
)

// Metrics counts what the service decides and how expiry gets on.
type Metrics struct {
	refunds    *prometheus.CounterVec
	open       prometheus.Gauge
	overdue    prometheus.Gauge
	lastExpiry prometheus.Gauge
	announced  *prometheus.CounterVec
}

// NewMetrics registers the metrics of this package with reg; nil registers
// nothing.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		refunds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_orders_refunds_total",
			Help: "Payments without goods that were recorded to be given back.",
		}, []string{"reason"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lockstep_orders_refunds_open",
			Help: "Payments without goods that were not settled; NaN if not known. The same in every process on one store: take the maximum, not the sum.",
		}),
		overdue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lockstep_orders_overdue",
			Help: "Orders whose window has passed and that could not be cancelled at the last look; NaN if there was none, or the store did not tell.",
		}),
		lastExpiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lockstep_orders_expiry_last_success_timestamp_seconds",
			Help: "When a look for overdue orders last left none behind; 0 if never.",
		}),
	}
	m.announced = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lockstep_orders_announced_again_total",
		Help: "Orders that were announced again: cancelled ones whose ticket stayed locked, and paid ones whose ticket was not locked.",
	}, []string{"subject"})
	m.open.Set(math.NaN())
	m.overdue.Set(math.NaN())
	for _, s := range announcedAgain() {
		m.announced.WithLabelValues(string(s))
	}
	for _, r := range Reasons() {
		m.refunds.WithLabelValues(string(r))
	}
	if reg != nil {
		reg.MustRegister(m.refunds, m.open, m.overdue, m.lastExpiry, m.announced)
	}
	return m
}

func (m *Metrics) refund(r Reason) { m.refunds.WithLabelValues(string(r)).Inc() }

func (m *Metrics) again(s event.Subject) { m.announced.WithLabelValues(string(s)).Inc() }

// OpenRefunds notes how many refunds are not settled; NaN if nobody knows.
func (m *Metrics) OpenRefunds(n float64) { m.open.Set(n) }

// looked notes what a look for overdue orders left behind, NaN if nobody knows,
// and whether all went well.
func (m *Metrics) looked(overdue float64, well bool, now time.Time) {
	m.overdue.Set(overdue)
	if well {
		m.lastExpiry.Set(float64(now.UnixMilli()) / 1000)
	}
}
