package listeners

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
)

// Metrics counts what the listeners of a process do; they share one.
type Metrics struct {
	received  *prometheus.CounterVec
	messages  *prometheus.CounterVec
	lag       *prometheus.HistogramVec
	refused   prometheus.Counter
	ackErrors prometheus.Counter
	hints     *prometheus.CounterVec
	rescues   *prometheus.CounterVec

	mu        sync.Mutex
	listeners []*Listener
}

// NewMetrics registers the metrics of this package with reg; nil registers
// nothing.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_listener_received_total",
			Help: "Deliveries by the broker.",
		}, []string{"subject", "delivery"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_listener_messages_total",
			Help: "What became of messages. One that is held or meets an error is counted again with its end.",
		}, []string{"subject", "outcome"}),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "lockstep_listener_event_lag_seconds",
			Help:    "From the moment the broker took a message to the moment it was applied; of one that was applied from quarantine, from when it was set aside.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"subject"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lockstep_listener_refused_total",
			Help: "Deliveries there was no room for; the broker sends them again.",
		}),
		ackErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lockstep_listener_ack_errors_total",
			Help: "Acknowledgements that could not be sent; the message comes again as a duplicate.",
		}),
		hints: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_listener_hints_total",
			Help: "Messages between the members of a group about keys that wait or got on.",
		}, []string{"direction"}),
		rescues: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_listener_rescues_total",
			Help: "Records whose early messages waited too long or stood in the way, by how it ended.",
		}, []string{"by"}),
	}
	m.preset()
	if reg != nil {
		reg.MustRegister(m.received, m.messages, m.lag, m.refused, m.ackErrors, m.hints, m.rescues)
		reg.MustRegister(m.gauges()...)
	}
	return m
}

func (m *Metrics) preset() {
	for _, direction := range []string{"sent", "received", "ignored"} {
		m.hints.WithLabelValues(direction)
	}
	for _, by := range []string{"repair", "quarantine"} {
		m.rescues.WithLabelValues(by)
	}
}

// gauges are read from the listeners when somebody looks.
func (m *Metrics) gauges() []prometheus.Collector {
	gauge := func(name, help string, of func(s state) float64, join func(a, b float64) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			sum := 0.0
			for _, l := range m.listeners {
				sum = join(sum, of(l.state()))
			}
			return sum
		})
	}
	add := func(a, b float64) float64 { return a + b }
	most := func(a, b float64) float64 { return max(a, b) }
	return []prometheus.Collector{
		m.subscribed(),
		gauge("lockstep_listener_held", "Messages that wait in memory, unacknowledged.",
			func(s state) float64 { return float64(s.held) }, add),
		gauge("lockstep_listener_oldest_held_age_seconds", "How long the oldest of them has waited, also over reconnections.",
			func(s state) float64 { return s.oldest.Seconds() }, most),
		gauge("lockstep_listener_in_flight", "Messages that were received and are not acknowledged.",
			func(s state) float64 { return float64(s.unacked) }, add),
		gauge("lockstep_listener_window", "Messages that the broker may have sent here unacknowledged, over all channels: fewer while they are large.",
			func(s state) float64 { return float64(s.window) }, add),
		gauge("lockstep_listener_quarantined", "Messages of the group in quarantine; NaN if not known. The same in every process on one store: take the maximum, not the sum.",
			func(s state) float64 { return s.quarantined }, most),
		gauge("lockstep_listener_quarantined_bytes", "Bytes of their payloads, likewise.",
			func(s state) float64 { return s.quarantinedBytes }, most),
	}
}

// subscribed shows whether every listener of the service gets its messages.
func (m *Metrics) subscribed() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "lockstep_listener_subscribed", Help: "1 while every listener of the service is subscribed.",
	}, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, l := range m.listeners {
			if !l.state().subscribed {
				return 0
			}
		}
		return float64(min(1, len(m.listeners)))
	})
}

// state is what the gauges show of one listener.
type state struct {
	held, unacked, window         int
	quarantined, quarantinedBytes float64 // NaN if not known
	oldest                        time.Duration
	subscribed                    bool
}

func (m *Metrics) watch(l *Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners = append(m.listeners, l)
}

// subjectMetrics are the counters of one subject, looked up once.
type subjectMetrics struct {
	first, redelivered                            prometheus.Counter
	applied, duplicate, held, quarantined, failed prometheus.Counter
	lag                                           prometheus.Observer
}

func (m *Metrics) of(s event.Subject) *subjectMetrics {
	outcome := func(o string) prometheus.Counter { return m.messages.WithLabelValues(string(s), o) }
	return &subjectMetrics{
		first:       m.received.WithLabelValues(string(s), "first"),
		redelivered: m.received.WithLabelValues(string(s), "redelivered"),
		applied:     outcome(event.Applied.String()),
		duplicate:   outcome(event.Duplicate.String()),
		held:        outcome(event.Early.String()),
		quarantined: outcome("quarantined"),
		failed:      outcome("error"),
		lag:         m.lag.WithLabelValues(string(s)),
	}
}
