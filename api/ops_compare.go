package api

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"lockstep/listeners"
	"lockstep/replica"
	"lockstep/ticket"
)

// Comparer compares a replica with its owner and mends it.
type Comparer interface {
	// Verify calls drifted with every record that differs.
	Verify(ctx context.Context, progress replica.Progress, drifted func(replica.Drift) error) (replica.Verified, error)

	// Mend moves what is missing or behind to the owner's version.
	Mend(ctx context.Context, cause replica.Cause, progress func(replica.Mended)) (replica.Mended, error)
}

// Reconciler compares the locks with the orders service and applies what was
// lost.
type Reconciler interface {
	Reconcile(ctx context.Context) (ticket.Reconciled, error)
}

// tellEvery is how often a long comparison says how far it is.
const tellEvery = 200 * time.Millisecond

// errNoOwner: there is nobody to compare with.
var errNoOwner = newProblem(http.StatusConflict, "CANONICAL_URL is not set: this process does not know whom to compare with")

// lines writes a stream of JSON objects, one a line. It may be used from many
// goroutines.
type lines struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	told time.Time
}

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	return &lines{w: w}
}

// say writes one object and sends it.
func (l *lines) say(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	extendWrite(l.w)
	if _, err := l.w.Write(append(data, '\n')); err != nil {
		return err
	}
	return http.NewResponseController(l.w).Flush()
}

// due reports whether it is time to say how far things are.
func (l *lines) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.told) < tellEvery {
		return false
	}
	l.told = time.Now()
	return true
}

// comparison is one line of a comparison; one field is set.
type comparison struct {
	Compared *int              `json:"compared,omitempty"`
	Drift    *driftAnswer      `json:"drift,omitempty"`
	Mended   *replica.Mended   `json:"mended,omitempty"`
	Verified *replica.Verified `json:"verified,omitempty"` // the last line of a verification
	Repaired *replica.Mended   `json:"repaired,omitempty"` // the last line of a repair
	Error    string            `json:"error,omitempty"`    // the last line of whatever broke off
}

// driftAnswer is a record that differs, with both sides.
type driftAnswer struct {
	ID        string       `json:"id"`
	Kind      replica.Kind `json:"kind"`
	Replica   *wireRow     `json:"replica,omitempty"`
	Canonical *wireRow     `json:"canonical,omitempty"`
}

func answerDrift(d replica.Drift) *driftAnswer {
	side := func(r *replica.Row) *wireRow {
		if r == nil {
			return nil
		}
		w := wireOf(*r)
		return &w
	}
	return &driftAnswer{ID: d.ID, Kind: d.Kind, Replica: side(d.Replica), Canonical: side(d.Canonical)}
}

// verify answers POST /ops/replica/verify line by line.
func (o *ops) verify(w http.ResponseWriter, r request) error {
	if o.Comparer == nil {
		return errNoOwner
	}
	out := newLines(w)
	sum, err := o.Comparer.Verify(r.Context(), func(n int) {
		if out.due() {
			_ = out.say(comparison{Compared: &n}) // the client has gone: the context ends the comparison
		}
	}, func(d replica.Drift) error { return out.say(comparison{Drift: answerDrift(d)}) })
	return o.end(r, out, comparison{Verified: &sum}, err)
}

// repair answers POST /ops/replica/repair line by line.
func (o *ops) repair(w http.ResponseWriter, r request) error {
	if o.Comparer == nil {
		return errNoOwner
	}
	out := newLines(w)
	sum, err := o.Comparer.Mend(r.Context(), replica.ByOperator, func(m replica.Mended) {
		if out.due() {
			m.Left = nil
			_ = out.say(comparison{Mended: &m}) // the client has gone: the context ends the repair
		}
	})
	o.Log.InfoContext(r.Context(), "replica mended by an operator's wish", "compared", sum.Compared, "repaired", sum.Repaired, "left_over", sum.LeftOver)
	return o.end(r, out, comparison{Repaired: &sum}, err)
}

// end writes the last line.
func (o *ops) end(r request, out *lines, last comparison, err error) error {
	if err != nil {
		last = comparison{Error: err.Error()}
		o.Log.WarnContext(r.Context(), "comparison with the owner broke off", "err", err)
	}
	_ = out.say(last) // a client that has gone does not read it
	return nil
}

// reconcile answers POST /ops/locks/reconcile.
func (o *ops) reconcile(w http.ResponseWriter, r request) error {
	if o.Reconciler == nil {
		return errNoOwner
	}
	sum, err := o.Reconciler.Reconcile(r.Context())
	if err != nil {
		return newProblem(http.StatusBadGateway, err.Error())
	}
	return respond(w, http.StatusOK, sum)
}

// statusAnswer is where a replica stands.
type statusAnswer struct {
	Rows        int                  `json:"rows"`
	Held        int                  `json:"held"`
	Quarantined int                  `json:"quarantined"`
	Oldest      string               `json:"oldestHeldSince,omitempty"`
	Positions   []listeners.Position `json:"positions"`
	Problems    []string             `json:"problems"`
}

// status answers GET /ops/replica/status: one entry a service.
func (o *ops) status(w http.ResponseWriter, r request) error {
	all := map[string]statusAnswer{}
	for _, s := range o.Services {
		a, err := o.statusOf(r.Context(), s)
		if err != nil {
			return err
		}
		all[s.Name] = a
	}
	return respond(w, http.StatusOK, struct {
		Services map[string]statusAnswer `json:"services"`
	}{all})
}

func (o *ops) statusOf(ctx context.Context, s Service) (statusAnswer, error) {
	a := statusAnswer{Positions: []listeners.Position{}, Problems: []string{}}
	var err error
	if a.Quarantined, err = s.Quarantine.Count(ctx); err != nil {
		return a, err
	}
	if s.Rows != nil {
		if a.Rows, err = s.Rows(ctx); err != nil {
			return a, err
		}
	}
	var oldest time.Time
	for _, l := range s.Listeners {
		if err := l.Check(); err != nil {
			a.Problems = append(a.Problems, err.Error())
		}
		for _, m := range l.Held() {
			a.Held++
			if oldest.IsZero() || m.Since.Before(oldest) {
				oldest = m.Since
			}
		}
	}
	if !oldest.IsZero() {
		a.Oldest = printTime(oldest)
	}
	if s.Positions != nil {
		positions, err := s.Positions(ctx)
		if err != nil {
			a.Problems = append(a.Problems, err.Error())
		}
		a.Positions = append(a.Positions, positions...)
	}
	return a, nil
}
