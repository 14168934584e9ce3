package api

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// checkWithin bounds each check of readiness.
const checkWithin = 2 * time.Second

// Check is one thing that readiness looks at.
type Check struct {
	Name     string                      // what is checked, as "tickets store"
	Probe    func(context.Context) error // nil error: it is well
	Optional bool                        // the service is ready without it, but degraded
}

// Readiness says whether a process should be sent requests. It may be used
// from many goroutines.
type Readiness struct {
	checks   []Check
	draining atomic.Bool
}

// NewReadiness returns a readiness made of checks.
func NewReadiness(checks ...Check) *Readiness { return &Readiness{checks: checks} }

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
	Status string `json:"status"` // ok, degraded or failed
	Reason string `json:"reason,omitempty"`
}

// Look runs every check once.
func (r *Readiness) Look(ctx context.Context) Ready {
	answer := Ready{Ready: true, Checks: make([]CheckResult, 0, len(r.checks)+1)}
	if r.draining.Load() {
		answer.add(CheckResult{Name: "process", Status: "failed", Reason: "shutting down"})
	}
	for _, c := range r.checks {
		answer.add(c.look(ctx))
	}
	return answer
}

func (a *Ready) add(c CheckResult) {
	a.Ready = a.Ready && c.Status != "failed"
	a.Checks = append(a.Checks, c)
}

func (c Check) look(ctx context.Context) CheckResult {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	err := c.Probe(ctx)
	switch {
	case err == nil:
		return CheckResult{Name: c.Name, Status: "ok"}
	case c.Optional:
		return CheckResult{Name: c.Name, Status: "degraded", Reason: err.Error()}
	default:
		return CheckResult{Name: c.Name, Status: "failed", Reason: err.Error()}
	}
}

func (r *Readiness) serve(w http.ResponseWriter, q request) error {
	answer := r.Look(q.Context())
	if !answer.Ready {
		return respond(w, http.StatusServiceUnavailable, answer)
	}
	return respond(w, http.StatusOK, answer)
}
