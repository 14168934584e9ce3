package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// checkWithin bounds each check of readiness.
	checkWithin = 2 * time.Second

	// lookEvery is how often everything is checked, and hurryEvery how often
	// until the process is ready for the first time.
	lookEvery  = time.Second
	hurryEvery = 20 * time.Millisecond

	// patience is how many times in a row a check must fail before a process
	// that was ready is not: an election or a slow disk is no reason to take
	// every process out of service at once.
	patience = 3

	// settling is how long after it was ready first a process says nothing of
	// what has not succeeded yet and is not needed: it is looked at for the first
	// time, or connecting.
	settling = 10 * time.Second

	// staleAfter is when a look counts as too old to be believed: longer than
	// patience, for a check that hangs takes checkWithin.
	staleAfter = 10 * time.Second
)

// Check is one thing that readiness looks at.
type Check struct {
	Name  string                      // what is checked, as "tickets store"; a label of metrics
	Probe func(context.Context) error // nil error: it is well now. It must end with its context
	Need  Need
}

// Need says when a process is not ready without a check. Otherwise it is
// degraded.
type Need int

// The needs.
const (
	Always  Need = iota
	ToStart      // until the process has been ready once
	Never
)

// Status is what became of a check.
type Status string

// The statuses.
const (
	OK       Status = "ok"
	Degraded Status = "degraded" // it failed, and the process serves without it
	Failed   Status = "failed"   // the process should not be sent requests
)

// Readiness says whether a process should be sent requests. It looks for
// itself, so that answering takes no time, whatever hangs. It may be used from
// many goroutines.
type Readiness struct {
	checks   []*watched
	log      *slog.Logger
	now      func() time.Time
	draining atomic.Bool

	mu    sync.Mutex
	last  Ready
	at    time.Time     // of last
	since time.Time     // when the process was ready first; zero if it never was
	first chan struct{} // closed once the process has been ready
}

// watched is a check with its history.
type watched struct {
	Check
	failures  int // in a row
	was       Status
	succeeded bool // ever
}

// NewReadiness returns a readiness made of checks; nothing is known of them
// before Run. Changes are logged, and shown by metrics that are registered
// with reg; nil registers nothing.
func NewReadiness(reg prometheus.Registerer, log *slog.Logger, checks ...Check) *Readiness {
	r := &Readiness{last: Ready{Checks: []CheckResult{}}, log: log, now: time.Now, first: make(chan struct{})}
	if reg != nil {
		reg.MustRegister(r)
	}
	r.Add(checks...)
	return r
}

// Add adds checks. It must not be called once Run is.
func (r *Readiness) Add(checks ...Check) {
	for _, c := range checks {
		r.checks = append(r.checks, &watched{Check: c, was: OK})
	}
}

// Await shows what a process waits for before it can be put together, and why
// that is not there. It must not be called once Run is.
func (r *Readiness) Await(name string, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last.Checks = []CheckResult{{Name: name, Status: Failed, Reason: why.Error()}}
}

// Run looks at everything, again and again, until ctx ends, and then returns
// nil.
func (r *Readiness) Run(ctx context.Context) error {
	for {
		r.look(ctx)
		pause := lookEvery
		if !closed(r.first) {
			pause = hurryEvery
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// First returns a channel that is closed once the process has been ready.
func (r *Readiness) First() <-chan struct{} { return r.first }

// Drain makes the process not ready for the rest of its life.
func (r *Readiness) Drain() { r.draining.Store(true) }

// Ready is the answer of /readyz.
type Ready struct {
	Ready  bool          `json:"ready"`
	Checks []CheckResult `json:"checks"`
}

// CheckResult is what became of one check.
type CheckResult struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// look runs every check once, side by side.
func (r *Readiness) look(ctx context.Context) {
	results := make([]CheckResult, len(r.checks))
	var looking sync.WaitGroup
	for i, c := range r.checks {
		looking.Go(func() { results[i] = c.look(ctx, !closed(r.first)) })
	}
	looking.Wait()
	if ctx.Err() != nil {
		return // the checks were cut short
	}
	answer := Ready{Ready: true, Checks: results}
	for i, result := range results {
		answer.Ready = answer.Ready && result.Status != Failed
		r.note(ctx, r.checks[i], result)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.at = answer, r.now()
	if answer.Ready && r.since.IsZero() {
		r.since = r.at
		close(r.first)
	}
}

// look runs the check once. A process that starts is not ready before every
// check that it needs has succeeded; later one has to fail several times in a row.
func (c *watched) look(ctx context.Context, starting bool) CheckResult {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	err := c.Probe(ctx)
	if err == nil {
		c.failures, c.succeeded = 0, true
		return CheckResult{Name: c.Name, Status: OK}
	}
	c.failures++
	status := Failed
	if c.Need == Never || !starting && (c.Need == ToStart || c.failures < patience) {
		status = Degraded
	}
	return CheckResult{Name: c.Name, Status: status, Reason: err.Error()}
}

// note logs what became of a check if that has changed.
func (r *Readiness) note(ctx context.Context, c *watched, now CheckResult) {
	if now.Status == c.was || !closed(r.first) || !c.succeeded && now.Status == Degraded && r.now().Sub(r.since) < settling {
		return
	}
	c.was = now.Status
	switch now.Status {
	case OK:
		r.log.InfoContext(ctx, "check succeeds again", "check", c.Name)
	case Failed:
		r.log.ErrorContext(ctx, "not ready: check fails", "check", c.Name, "reason", now.Reason)
	default:
		r.log.WarnContext(ctx, "check fails", "check", c.Name, "reason", now.Reason)
	}
}

// Answer returns what the latest look found.
func (r *Readiness) Answer() Ready {
	r.mu.Lock()
	answer, at := r.last, r.at
	r.mu.Unlock()
	add := func(reason string) {
		answer.Ready = false
		answer.Checks = append([]CheckResult{{Name: "process", Status: Failed, Reason: reason}}, answer.Checks...)
	}
	switch {
	case r.draining.Load():
		add("shutting down")
	case at.IsZero():
		add("starting")
	case r.now().Sub(at) > staleAfter:
		add("the checks have not ended for " + r.now().Sub(at).Round(time.Second).String())
	}
	return answer
}

func (r *Readiness) serve(w http.ResponseWriter, _ request) error {
	answer := r.Answer()
	if !answer.Ready {
		return respond(w, http.StatusServiceUnavailable, answer)
	}
	return respond(w, http.StatusOK, answer)
}

var (
	checkOK = prometheus.NewDesc("lockstep_check_ok", "1 while a check of readiness succeeds.", []string{"check"}, nil)
	isReady = prometheus.NewDesc("lockstep_ready", "1 while this process should be sent requests.", nil, nil)
)

// Describe implements prometheus.Collector.
func (r *Readiness) Describe(descs chan<- *prometheus.Desc) {
	descs <- checkOK
	descs <- isReady
}

// Collect implements prometheus.Collector. What was found is believed as long as
// Answer believes it.
func (r *Readiness) Collect(metrics chan<- prometheus.Metric) {
	r.mu.Lock()
	last, fresh := r.last, r.now().Sub(r.at) <= staleAfter
	r.mu.Unlock()
	for _, c := range last.Checks {
		metrics <- prometheus.MustNewConstMetric(checkOK, prometheus.GaugeValue, number(c.Status == OK && fresh), c.Name)
	}
	metrics <- prometheus.MustNewConstMetric(isReady, prometheus.GaugeValue, number(r.Answer().Ready))
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
