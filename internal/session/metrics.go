package session

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// cause says why the connection had to be built or healed again.
type cause string

const (
	causeLink      cause = "link"      // the link broke and was healed within the session
	causeSilent    cause = "silent"    // the broker did not answer in time
	causeForgotten cause = "forgotten" // the broker no longer knew the session
)

type metrics struct {
	connected  prometheus.Gauge
	reconnects *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lockstep_listener_connected",
			Help: "1 while this process has a live session with the broker.",
		}),
		reconnects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_session_reconnects_total",
			Help: "Connections to the broker that were lost and had to be made again, by what was wrong.",
		}, []string{"cause"}),
	}
	for _, c := range []cause{causeLink, causeSilent, causeForgotten} {
		m.reconnects.WithLabelValues(string(c))
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.connected, m.reconnects} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the broker session: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) live(yes bool) {
	if yes {
		m.connected.Set(1)
		return
	}
	m.connected.Set(0)
}

func (m *metrics) lost(c cause) { m.reconnects.WithLabelValues(string(c)).Inc() }
