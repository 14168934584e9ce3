package incident

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of notifications.
const (
	resultSent    = "sent"
	resultFailed  = "failed"   // a try; another one follows
	resultGivenUp = "given_up" // the last try
)

type metrics struct {
	open          *prometheus.GaugeVec
	total         *prometheus.CounterVec
	notifications *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lockstep_incidents_open",
			Help: "Incidents that are not over; NaN if not known. The same in every process on one store: take the maximum, not the sum.",
		}, []string{"cause"}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_incidents_total",
			Help: "Incidents that this process opened.",
		}, []string{"cause"}),
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_notifications_total",
			Help: "Notices of incidents by what became of them; one that failed is tried again.",
		}, []string{"result"}),
	}
	for _, c := range Causes() {
		m.open.WithLabelValues(string(c)).Set(math.NaN())
		m.total.WithLabelValues(string(c))
	}
	for _, r := range []string{resultSent, resultFailed, resultGivenUp} {
		m.notifications.WithLabelValues(r)
	}
	if reg != nil {
		reg.MustRegister(m.open, m.total, m.notifications)
	}
	return m
}

// notified counts n notices that ended the same way.
func (m *metrics) notified(result string, n int) {
	m.notifications.WithLabelValues(result).Add(float64(n))
}
