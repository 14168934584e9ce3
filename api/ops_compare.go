package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/replica"
	"lockstep/ticket"
)

// Comparer compares a replica with its owner and mends it.
type Comparer interface {
	// Verify calls drifted with every record that differs.
	Verify(ctx context.Context, progress replica.Progress, drifted func(replica.Drift) error) (replica.Verified, error)

	// Mend moves what differs to what the owner has.
	Mend(ctx context.Context, o replica.MendOptions) (replica.Mended, error)

	// Reset makes one row what its owner has, whatever it was.
	Reset(ctx context.Context, id string) (before, after *replica.Row, err error)
}

// Reconciler compares the locks with the orders service and applies what was
// lost; see ticket.Service.
type Reconciler interface {
	Reconcile(ctx context.Context, o ticket.ReconcileOptions) (ticket.Reconciled, error)

	// ResetLock makes one lock what its owner says.
	ResetLock(ctx context.Context, orderID string) (before, after ticket.Lock, err error)
}

// tellEvery is how often a long comparison says how far it is.
const tellEvery = 200 * time.Millisecond

// Why a comparison cannot be made: there is nothing to compare here, or nobody
// to compare with.
var (
	errNoReplica = newProblem(http.StatusNotFound, "This process keeps no replica: ask the orders service")
	errNoLocks   = newProblem(http.StatusNotFound, "This process keeps no locks: ask the tickets service")
	errNoOrders  = newProblem(http.StatusNotFound, "This process has no orders: ask the orders service")
	errNoOwner   = newProblem(http.StatusConflict, "CANONICAL_URL is not set: this process does not know whom to compare with")
)

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
	Compared   *int               `json:"compared,omitempty"`
	Drift      *driftAnswer       `json:"drift,omitempty"`
	Mended     *replica.Mended    `json:"mended,omitempty"`
	Locks      *ticket.Reconciled `json:"locks,omitempty"`      // how far a reconciliation is
	Verified   *replica.Verified  `json:"verified,omitempty"`   // the last line of a verification
	Repaired   *replica.Mended    `json:"repaired,omitempty"`   // the last line of a repair
	Reconciled *ticket.Reconciled `json:"reconciled,omitempty"` // the last line of a reconciliation
	Error      string             `json:"error,omitempty"`      // the last line of whatever broke off
}

// driftAnswer is a record that differs, with both sides.
type driftAnswer struct {
	ID        string       `json:"id"`
	Kind      replica.Kind `json:"kind"`
	Replica   *wireRow     `json:"replica,omitempty"`
	Canonical *wireRow     `json:"canonical,omitempty"`
}

func answerDrift(d replica.Drift) *driftAnswer {
	return &driftAnswer{ID: d.ID, Kind: d.Kind, Replica: side(d.Replica), Canonical: side(d.Canonical)}
}

func side(r *replica.Row) *wireRow {
	if r == nil {
		return nil
	}
	w := wireOf(*r)
	return &w
}

// comparable reports why the replica cannot be compared; nil if it can.
func (o *ops) comparable() error {
	switch {
	case o.Replica == nil:
		return errNoReplica
	case o.Comparer == nil:
		return errNoOwner
	}
	return nil
}

// verify answers POST /ops/replica/verify line by line.
func (o *ops) verify(w http.ResponseWriter, r request) error {
	if err := o.comparable(); err != nil {
		return err
	}
	out := newLines(w)
	sum, err := o.Comparer.Verify(r.Context(), func(n int) {
		if out.due() {
			_ = out.say(comparison{Compared: &n}) // the client has gone: the context ends the comparison
		}
	}, func(d replica.Drift) error { return out.say(comparison{Drift: answerDrift(d)}) })
	return o.end(r, out, comparison{Verified: &sum}, err)
}

// readTrust reads ?trust=owner.
func readTrust(r request) (bool, error) {
	trust := r.URL.Query().Get("trust")
	if trust != "" && trust != "owner" {
		return false, newProblem(http.StatusBadRequest, "trust must be owner, or not be given")
	}
	return trust == "owner", nil
}

// repair answers POST /ops/replica/repair line by line. With ?trust=owner rows
// are moved back and removed too.
func (o *ops) repair(w http.ResponseWriter, r request) error {
	if err := o.comparable(); err != nil {
		return err
	}
	trust, err := readTrust(r)
	if err != nil {
		return err
	}
	out := newLines(w)
	sum, err := o.Comparer.Mend(r.Context(), replica.MendOptions{
		Cause: replica.ByOperator, TrustOwner: trust,
		Progress: func(m replica.Mended) {
			if out.due() {
				m.Left = nil
				_ = out.say(comparison{Mended: &m}) // the client has gone: the context ends the repair
			}
		},
	})
	o.Log.InfoContext(r.Context(), "replica repaired for an operator", "trust_owner", trust,
		"compared", sum.Compared, "repaired", sum.Repaired, "removed", sum.Removed, "left_over", sum.LeftOver)
	return o.end(r, out, comparison{Repaired: &sum}, err)
}

// resetAnswer is what a row was and what it is.
type resetAnswer struct {
	Before *wireRow `json:"before"`
	After  *wireRow `json:"after"`
}

// reset answers POST /ops/replica/tickets/{id}/reset.
func (o *ops) reset(w http.ResponseWriter, r request) error {
	if err := o.comparable(); err != nil {
		return err
	}
	before, after, err := o.Comparer.Reset(r.Context(), r.id())
	if err != nil {
		return newProblem(http.StatusBadGateway, err.Error())
	}
	if before == nil && after == nil {
		return newProblem(http.StatusNotFound, "Neither the replica nor its owner has such a ticket")
	}
	o.Log.WarnContext(r.Context(), "row of the replica reset to its owner's record for an operator", "ticket_id", r.id(), "was", versionOf(before), "is", versionOf(after))
	return respond(w, http.StatusOK, resetAnswer{side(before), side(after)})
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

// versionOf returns the version of a row, event.None for none.
func versionOf(r *replica.Row) int64 {
	if r == nil {
		return event.None
	}
	return r.Version
}

// statusAnswer is where a replica stands.
type statusAnswer struct {
	Rows        *int                 `json:"rows,omitempty"` // nil without a replica
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
	if a.Quarantined > 0 {
		a.Problems = append(a.Problems, fmt.Sprintf("%d messages are in quarantine and were not applied: see lockstep replica quarantine", a.Quarantined))
	}
	if s.Rows != nil {
		rows, err := s.Rows(ctx)
		if err != nil {
			return a, err
		}
		a.Rows = &rows
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
