package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lockstep/internal/hosts"
	"lockstep/listeners"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/ticket"
)

// Outbox is what the operator sees and does in one service's outbox.
type Outbox interface {
	outbox.Inspector

	// Key returns the first records of one key, as outbox.Store does.
	Key(ctx context.Context, key string, after int64, limit int) ([]outbox.Record, error)
}

// Rows gives the rows of the replica; replica.Store has it.
type Rows interface {
	Row(ctx context.Context, id string) (replica.Row, error)
}

// Locks tells what is known of an order; ticket.Service has it.
type Locks interface {
	KnownLock(ctx context.Context, orderID string) (ticket.Lock, error)
}

// Quarantine gives the messages that were set aside; listeners.Quarantine has
// it.
type Quarantine interface {
	List(ctx context.Context, f listeners.Filter, after string, limit int) (found []listeners.Quarantined, next string, err error)
	Get(ctx context.Context, id string) (listeners.Quarantined, error)
	Count(ctx context.Context) (int, error)
}

// Listener is what the operator sees and does of a listener; *listeners.Listener
// has it. Of messages that another listener set aside, Retry returns
// listeners.ErrNotFound and Discard removes none.
type Listener interface {
	Check() error
	Held() []listeners.HeldMessage
	Retry(ctx context.Context, id string) error
	Discard(ctx context.Context, entries []listeners.Quarantined) (int, error)
}

// Service is what the operator sees of one service of this process.
type Service struct {
	Name       string // as in ?service=
	Outbox     Outbox
	Quarantine Quarantine
	Listeners  []Listener
	Incidents  Incidents // nil: none are kept

	Rows      func(context.Context) (int, error)                  // how many the replica has; nil without a replica
	Positions func(context.Context) ([]listeners.Position, error) // in the broker's channels; may be nil
}

// OpsOptions says what the operator's routes show. Routes of a nil part answer
// that there is nothing.
type OpsOptions struct {
	Services []Service
	Replica  Rows
	Locks    Locks
	Tickets  CanonicalTickets // of the tickets service, for replicas
	Orders   CanonicalOrders  // of the orders service, for the keepers of locks

	Refunds Refunds // of the orders service

	Comparer   Comparer   // of the replica with its owner
	Reconciler Reconciler // of the locks with the orders service

	Ready   *Readiness          // required
	Metrics prometheus.Gatherer // required
	Log     *slog.Logger        // required

	Address string           // where the routes will be served: decides whether Token is needed
	Token   string           // what calls must bear, on loopback those that change state; may be empty there
	Hosts   []string         // names that requests may ask for, besides addresses and localhost
	Now     func() time.Time // time.Now if nil
}

// ops answers the operator.
type ops struct {
	OpsOptions
}

// NewOps returns the operator's routes. It returns ErrNoToken if calls that
// change state would be open to other machines.
func NewOps(o OpsOptions) (http.Handler, error) {
	if o.Ready == nil || o.Metrics == nil || o.Log == nil {
		return nil, errors.New("api: OpsOptions needs Ready, Metrics and Log")
	}
	allowed := hosts.Allowed{Loopback: hosts.Loopback(o.Address), Names: o.Hosts}
	if o.Token == "" && !allowed.Loopback {
		return nil, ErrNoToken
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &ops{o}
	return guarded(o.Token, allowed, h.mux(append(h.probes(), h.routes()...))), nil
}

// NewProbes returns what probes and scrapes ask for: that the process is alive,
// what it waits for, its metrics. It needs no token. Everything else is answered
// with 503 until the process was ready once, as on an operator's address that is
// served before there is anything to operate, and with 404 from then on.
func NewProbes(o OpsOptions, address string) http.Handler {
	h := &ops{o}
	mux := h.mux(h.probes())
	mux.NotFound(handle(o.Log, &bodies{}, func(http.ResponseWriter, request) error {
		if closed(o.Ready.First()) {
			return newProblem(http.StatusNotFound, "Nothing but /metrics, /healthz and /readyz is served here: a service has the operator's routes on its OPS_ADDR")
		}
		return newProblem(http.StatusServiceUnavailable, "The process is starting: /readyz says what it waits for")
	}))
	return guarded("", hosts.Allowed{Loopback: hosts.Loopback(address), Names: o.Hosts}, mux)
}

func (o *ops) mux(routes []route) *chi.Mux {
	mux := newMux(o.Log, routes, recovering(o.Log), exact)
	metrics := promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{})
	mux.Method(http.MethodGet, "/metrics", metrics)
	mux.Method(http.MethodHead, "/metrics", metrics)
	return mux
}

func (o *ops) probes() []route {
	return []route{
		on(http.MethodGet, "/healthz", o.alive),
		on(http.MethodGet, "/readyz", o.Ready.serve),
	}
}

func (o *ops) routes() []route {
	get, post := http.MethodGet, http.MethodPost
	routes := []route{
		on(get, "/ops/outbox", bounded(o.listOutbox)),
		on(get, "/ops/outbox/incidents", bounded(o.listIncidents)),
		on(post, "/ops/outbox/incidents/{id}/close", bounded(o.closeIncident)),
		on(get, "/ops/outbox/{id}", bounded(o.showOutbox)),
		on(post, "/ops/outbox/{id}/retry", bounded(o.retryOutbox)),
		on(post, "/ops/outbox/{id}/discard", bounded(o.discardOutbox)),
		on(get, "/ops/replica/tickets/{id}", bounded(o.showRow)),
		on(post, "/ops/replica/tickets/{id}/reset", o.reset),
		on(get, "/ops/replica/held", bounded(o.listHeld)),
		on(get, "/ops/replica/quarantine", bounded(o.listQuarantine)),
		on(get, "/ops/replica/quarantine/{id}", bounded(o.showQuarantine)),
		on(post, "/ops/replica/quarantine/retry", bounded(o.retryChosen)),
		on(post, "/ops/replica/quarantine/discard", bounded(o.discardChosen)),
		on(post, "/ops/replica/quarantine/{id}/retry", bounded(o.retryQuarantine)),
		on(post, "/ops/replica/quarantine/{id}/discard", bounded(o.discardQuarantine)),
		on(get, "/ops/replica/status", bounded(o.status)),
		on(post, "/ops/replica/verify", o.verify),
		on(post, "/ops/replica/repair", o.repair),
		on(get, "/ops/locks/{id}", bounded(o.showLock)),
		on(post, "/ops/locks/{id}/reset", bounded(o.resetLock)),
		on(post, "/ops/locks/reconcile", o.reconcile),
		on(get, "/ops/refunds", bounded(o.listRefunds)),
		on(post, "/ops/refunds/{id}/settle", bounded(o.settleRefund)),
	}
	if o.Tickets != nil {
		routes = append(routes,
			on(get, "/ops/tickets", canonicalPage(o.Tickets, o.Log)),
			on(get, "/ops/tickets/ranges", bounded(canonicalRanges(o.Tickets))),
			on(get, "/ops/tickets/{id}", bounded(canonicalTicket(o.Tickets))))
	}
	if o.Orders != nil {
		routes = append(routes,
			on(get, "/ops/orders", canonicalOrders(o.Orders, o.Log)),
			on(get, "/ops/orders/{id}", bounded(canonicalOrder(o.Orders))))
	}
	return routes
}

func (o *ops) alive(w http.ResponseWriter, _ request) error {
	return respond(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// chosen returns the services that ?service= asks for: one, or all without it.
func (o *ops) chosen(r request) ([]Service, error) {
	name := r.URL.Query().Get("service")
	if name == "" {
		return o.Services, nil
	}
	for _, s := range o.Services {
		if s.Name == name {
			return []Service{s}, nil
		}
	}
	return nil, newProblem(http.StatusNotFound, "No such service in this process")
}
