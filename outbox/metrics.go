package outbox

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
)

// other is the subject label of events that Options.Subjects does not name.
const other = "other"

// The reasons for which a publish did not succeed.
const (
	reasonUnreachable = "unreachable" // nothing was sent; no failure of the event
	reasonUnconfirmed = "unconfirmed"
	reasonRejected    = "rejected"
)

// latencyBuckets reach from a commit's wake-up to a night without broker, in
// seconds.
var latencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600}

// metrics counts what a relay does.
type metrics struct {
	bySubject map[event.Subject]subjectMetrics
	latency   prometheus.Histogram
	wakeups   *prometheus.CounterVec
	resets    *prometheus.CounterVec
	retries   prometheus.Counter
	parked    prometheus.Counter
	found     prometheus.Counter
	leaseLost prometheus.Counter
	leading   prometheus.Gauge
	inFlight  prometheus.Gauge
	paused    prometheus.Gauge
}

// subjectMetrics are the counters of one subject, looked up once.
type subjectMetrics struct {
	published prometheus.Counter
	failures  map[string]prometheus.Counter // by reason
}

func newMetrics(reg prometheus.Registerer, subjects []event.Subject) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "lockstep_outbox_" + name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lockstep_outbox_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "lockstep_outbox_" + name, Help: help})
	}
	published := vector("published_total", "Events that the broker has confirmed.", "subject")
	failures := vector("publish_failures_total", "Attempts to publish that did not succeed.", "subject", "reason")
	m := &metrics{
		bySubject: map[event.Subject]subjectMetrics{},
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lockstep_outbox_commit_to_publish_seconds", Help: "Time from an event's occurrence to the broker's confirmation.",
			Buckets: latencyBuckets,
		}),
		wakeups:   vector("wakeups_total", "Events by how the relay first heard of them.", "source"),
		resets:    vector("tail_resets_total", "Tails of the outbox that were replaced and scanned again.", "reason"),
		retries:   counter("retries_total", "Failed events that RetryPublishingNATSEvents took up."),
		parked:    counter("threshold_reached_total", "Events whose failures reached the threshold and call for a person."),
		found:     counter("found_published_total", "Events of unknown outcome that the broker turned out to have; they were not published again."),
		leaseLost: counter("lease_lost_total", "Terms of leadership that ended before the relay stopped."),
		leading:   gauge("leader", "1 while this process publishes, 0 while it stands by."),
		inFlight:  gauge("in_flight", "Events sent to the broker and not answered."),
		paused:    gauge("paused", "1 while publishing waits for the broker: to come back, or to tell what it has."),
	}
	for _, s := range append([]event.Subject{other}, subjects...) {
		m.bySubject[s] = subjectMetrics{published.WithLabelValues(string(s)), map[string]prometheus.Counter{}}
		for _, reason := range []string{reasonUnreachable, reasonUnconfirmed, reasonRejected} {
			m.bySubject[s].failures[reason] = failures.WithLabelValues(string(s), reason)
		}
	}
	for _, source := range []Source{FromCommit, FromStream, FromSweep} {
		m.wakeups.WithLabelValues(string(source))
	}
	m.resets.WithLabelValues("lost")
	m.resets.WithLabelValues("error")
	if reg != nil {
		reg.MustRegister(published, failures, m.latency, m.wakeups, m.resets, m.retries, m.parked, m.found, m.leaseLost, m.leading, m.inFlight, m.paused)
	}
	return m
}

func (m *metrics) of(s event.Subject) subjectMetrics {
	if known, ok := m.bySubject[s]; ok {
		return known
	}
	return m.bySubject[other]
}

func (m *metrics) published(r Record, now time.Time) {
	m.of(r.Subject).published.Inc()
	if !r.OccurredAt.IsZero() {
		m.latency.Observe(now.Sub(r.OccurredAt).Seconds())
	}
}

func (m *metrics) pausing(is bool) {
	m.paused.Set(0)
	if is {
		m.paused.Set(1)
	}
}

// stands shows a relay that publishes nothing.
func (m *metrics) stands() {
	m.leading.Set(0)
	m.inFlight.Set(0)
	m.paused.Set(0)
}

func (m *metrics) failed(s event.Subject, reason string) { m.of(s).failures[reason].Inc() }

func (m *metrics) woken(source Source, events int) {
	if events > 0 {
		m.wakeups.WithLabelValues(string(source)).Add(float64(events))
	}
}

func (m *metrics) reset(err error) {
	reason := "error"
	if errors.Is(err, ErrTailLost) {
		reason = "lost"
	}
	m.resets.WithLabelValues(reason).Inc()
}
