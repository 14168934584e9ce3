package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"lockstep/api"
	"lockstep/internal/broker"
)

// program is one process: it is put together step by step, then run. What a
// process could lack or share with another one (settings, files, addresses) is
// taken first, so that a start that fails disturbs nobody.
type program struct {
	bench
	ops        opsFlags
	drainDelay time.Duration // see stopFlags
	doors      doorFlags

	ready                   *api.Readiness
	ticketStore, orderStore *store       // nil if the process does not run the service
	ticketsAt, ordersAt     net.Listener // where the APIs will be
	opsAt, metricsAt        *opsServer   // metricsAt is nil if probes have no address of their own
	broker                  *broker.Broker

	services []*service
	locks    api.Locks         // nil if the process does not run the tickets service
	compare  api.Comparer      // nil if it is not known whom to compare with
	conform  api.Reconciler    // likewise, of locks
	taken    map[string]string // the settings of the addresses that were taken, by their ports
	undo     []func() error    // gives back what was taken, last first, if the start fails
}

func newProgram(log *slog.Logger, ops opsFlags, stop stopFlags) *program {
	limitMemory(log)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registerBuild(registry)
	return &program{
		bench: bench{log: log, registry: registry}, ops: ops, drainDelay: stop.DrainDelay,
		ready: api.NewReadiness(registry, log),
	}
}

// abandon gives back what was taken by a program that is not run.
func (p *program) abandon() {
	for _, undo := range slices.Backward(p.undo) {
		if err := undo(); err != nil {
			p.log.Warn("not given back", "err", err)
		}
	}
	p.undo = nil
}

// openTickets takes the store and the address of the tickets service.
func (p *program) openTickets(ctx context.Context, f storeFlags, address string) (err error) {
	if p.ticketStore, err = p.openStore(ctx, f, "tickets"); err != nil {
		return err
	}
	p.ticketsAt, err = p.take(ctx, "--tickets-addr (TICKETS_ADDR)", address)
	return err
}

// openOrders takes the store and the address of the orders service.
func (p *program) openOrders(ctx context.Context, f storeFlags, address string) (err error) {
	if p.orderStore, err = p.openStore(ctx, f, "orders"); err != nil {
		return err
	}
	p.ordersAt, err = p.take(ctx, "--orders-addr (ORDERS_ADDR)", address)
	return err
}

// openOps takes the operator's address, and that of probes if they have one, and
// answers probes on both from now on.
func (p *program) openOps(ctx context.Context) (err error) {
	if p.opsAt, err = p.openProbes(ctx, "--ops-addr (OPS_ADDR)", p.ops.OpsAddr); err != nil || p.ops.MetricsAddr == "" {
		return err
	}
	p.metricsAt, err = p.openProbes(ctx, "--metrics-addr (METRICS_ADDR)", p.ops.MetricsAddr)
	return err
}

func (p *program) openProbes(ctx context.Context, setting, address string) (*opsServer, error) {
	l, err := p.take(ctx, setting, address)
	if err != nil {
		return nil, err
	}
	s := p.serveOps(l, api.NewProbes(p.probed(), address))
	p.undo = append(p.undo, s.stop)
	return s, nil
}

// take takes the address of a setting, or says in words why it cannot be had.
func (p *program) take(ctx context.Context, setting, address string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	_, port, _ := net.SplitHostPort(address) // an address, or it could not be listened on
	switch ours := p.taken[port]; {
	case errors.Is(err, syscall.EADDRINUSE) && ours != "":
		return nil, &usageError{fmt.Sprintf("%s is that of %s and of %s: choose another address for one of them", address, ours, setting)}
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program: stop it, or choose another address with %s", address, setting)
	case err != nil:
		return nil, &usageError{fmt.Sprintf("%s: %v", setting, err)}
	}
	if p.taken == nil {
		p.taken = map[string]string{}
	}
	p.taken[port] = setting
	p.undo = append(p.undo, func() error { _ = l.Close(); return nil }) // whoever served on it has closed it
	return l, nil
}

// settings are what services are assembled with.
type settings struct {
	doors     doorFlags
	jwt       jwtFlags
	weak      []string // secrets that can be guessed
	strict    strictFlag
	nats      natsFlags
	listening listenerFlags
	tickets   ticketFlags
	notify    notifyFlags
	orders    orderFlags
}

// assemble builds the services whose stores were opened.
func (p *program) assemble(s settings) (err error) {
	keys, err := s.jwt.keys()
	if err != nil {
		return err
	}
	if err := s.strict.judge(s.weak, p.log); err != nil {
		return err
	}
	if p.sessions, err = api.NewSessions(keys, p.registry, nil); err != nil {
		return err
	}
	if p.notifier, err = s.notify.notifier(); err != nil {
		return err
	}
	p.doors = s.doors
	p.nats, p.listening, p.notify = s.nats, s.listening, s.notify
	if p.ticketStore != nil {
		tickets, err := p.newTickets(p.ticketStore, s.tickets)
		if err != nil {
			return err
		}
		p.services = append(p.services, tickets)
	}
	if p.orderStore != nil {
		orders, err := p.newOrders(p.orderStore, s.orders)
		if err != nil {
			return err
		}
		p.services = append(p.services, orders)
	}
	return nil
}
