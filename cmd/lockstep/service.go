package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/api"
	"lockstep/event"
	"lockstep/incident"
	"lockstep/internal/rungroup"
	"lockstep/internal/session"
	"lockstep/listeners"
	"lockstep/outbox"
	"lockstep/publishers"
)

// A stop has stopWithin in all, of which each stage has its share.
const (
	stopWithin     = 9 * time.Second
	drainWithin    = 3 * time.Second
	listenerWithin = 2 * time.Second
	relayWithin    = 2 * time.Second
)

// bench is what the services of a process are made from.
type bench struct {
	log       *slog.Logger
	registry  *prometheus.Registry
	sessions  *api.Sessions
	nats      natsFlags
	listening listenerFlags
	notify    notifyFlags
	notifier  incident.Notifier // nil: nobody is told
	shared    bool              // the process runs both services
}

// service is one service with its doors and its relay, not yet running.
type service struct {
	name      string
	log       *slog.Logger
	reg       prometheus.Registerer // puts the service's name to every metric
	store     *store
	door      http.Handler
	session   *session.Session
	relay     *outbox.Relay
	gauges    *outbox.Gauges
	incidents *incident.Log
	lookout   *lookout
	listeners []*listeners.Listener
	counters  *listeners.Metrics // shared by the listeners
	jobs      []rungroup.Part    // stop with the listeners
	checks    []api.Check
	losses    *listeners.Losses
	filling   *filling // of the replica; nil without one, or without an owner
	mending   *mending // what to do about a loss in the broker; nil if there is nobody to ask
	positions func(context.Context) ([]listeners.Position, error)
}

// newService connects a store with the broker: everything but the doors.
func (b *bench) newService(name string, st *store, published []event.Subject) (*service, error) {
	s := &service{
		name: name, store: st, log: b.log.With("service", name),
		reg: prometheus.WrapRegistererWith(prometheus.Labels{"service": name}, b.registry),
	}
	s.counters = listeners.NewMetrics(s.reg)
	var err error
	s.session, err = session.New(session.Options{
		URL: b.nats.NATSURL, ClusterID: b.nats.NATSClusterID, ClientID: b.client(name), Security: b.nats.security(), Log: s.log, Registerer: s.reg,
	})
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	s.incidents, err = incident.New(st.incidents, incident.Options{Service: name, Notifier: b.notifier, Log: s.log, Registerer: s.reg})
	if err != nil {
		return nil, err
	}
	s.lookout = newLookout(s, b.notify.QuarantineAlert)
	s.relay, err = outbox.NewRelay(st.outbox, st.outbox, publishers.New(s.session), outbox.Options{
		Name: "outbox-" + name, Subjects: published, Threshold: threshold, OnThreshold: s.raiseUnpublished, StopTimeout: relayWithin, Log: s.log, Registerer: s.reg,
	})
	if err != nil {
		return nil, err
	}
	if st.keep != nil {
		s.jobs = append(s.jobs, st.keep)
	}
	s.gauges = outbox.NewGauges(s.reg)
	s.checks = []api.Check{
		{Name: name + " store", Probe: s.lookout.storeWritten},
		{Name: name + " broker", Probe: s.connected, Need: api.Never},
		{Name: name + " quarantine", Probe: s.lookout.quarantineEmpty, Need: api.Never},
		{Name: name + " outbox", Probe: s.outboxReadable, Need: api.Never},
	}
	return s, nil
}

// client returns who a service is to the broker. Two services of one process
// are two clients.
func (b *bench) client(service string) string {
	if b.shared {
		return b.nats.NATSClientID + "-" + service
	}
	return b.nats.NATSClientID
}

// listen adds a listener of the group. Without it the service is degraded.
func (b *bench) listen(s *service, name string, need api.Need, h listeners.Handler, o listeners.Options) error {
	o.AckWait, o.MaxInFlight, o.HoldFor = b.listening.AckWait, b.listening.MaxInFlight, b.listening.HoldFor
	o.QuarantineLimit, o.QuarantineBytes = b.listening.QuarantineLimit, b.listening.QuarantineBytes
	o.StopWait, o.Marks, o.Losses, o.Metrics, o.Log = listenerWithin, s.store.marks, s.losses, s.counters, s.log
	l, err := listeners.New(s.session, h, s.store.quarantine, o)
	if err != nil {
		return &usageError{err.Error()}
	}
	s.listeners = append(s.listeners, l)
	s.checks = append(s.checks, api.Check{Name: name, Probe: subscribed(l), Need: need})
	return nil
}

// subscribed returns the check of a listener. That its quarantine is full is said
// by the check of the quarantine: a process that starts beside it is of use.
func subscribed(l *listeners.Listener) func(context.Context) error {
	return func(context.Context) error {
		if err := l.Check(); !errors.Is(err, listeners.ErrQuarantineFull) {
			return err
		}
		return nil
	}
}

// lag adds the measurement of the group's backlog, if it is known where to
// look.
func (b *bench) lag(s *service, group string, subjects []event.Subject) error {
	s.positions = func(ctx context.Context) ([]listeners.Position, error) {
		return listeners.Positions(ctx, s.store.marks, nil, group, subjects)
	}
	if b.nats.NATSMonitorURL == "" {
		return nil
	}
	m, err := listeners.NewMonitor(b.nats.NATSMonitorURL, b.nats.NATSCAFile)
	if err != nil {
		return &usageError{"NATS_MONITOR_URL: " + err.Error()}
	}
	s.positions = func(ctx context.Context) ([]listeners.Position, error) {
		return listeners.Positions(ctx, s.store.marks, m, group, subjects)
	}
	l, err := listeners.NewLag(m, listeners.LagOptions{Watched: everyGroup(), Log: s.log, Registerer: s.reg})
	if err != nil {
		return err
	}
	s.jobs = append(s.jobs, l.Run)
	return nil
}

// everyGroup returns the groups of both services: the lag of one of them is
// known as long as any process runs.
func everyGroup() []listeners.Watched {
	var all []listeners.Watched
	watch := func(group string, subjects []event.Subject) {
		for _, subject := range subjects {
			all = append(all, listeners.Watched{Channel: subject, Group: group})
		}
	}
	watch(listeners.TicketsService, event.OrderSubjects())
	watch(listeners.OrdersService, event.TicketSubjects())
	watch(listeners.OrdersService, listeners.NewOrders(nil).Subjects())
	return all
}

func (s *service) outboxReadable(context.Context) error { return s.gauges.Check() }

func (s *service) connected(context.Context) error { return s.session.State().Err }

// ops is what the operator sees of the service.
func (s *service) ops() api.Service {
	o := api.Service{Name: s.name, Outbox: s.store.outbox, Quarantine: s.store.quarantine, Positions: s.positions, Incidents: s.incidents}
	if s.name == "orders" {
		o.Rows = s.store.replica.Count
	}
	for _, l := range s.listeners {
		o.Listeners = append(o.Listeners, l)
	}
	return o
}
