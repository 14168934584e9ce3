package main

import (
	"context"
	"time"

	"lockstep/api"
	"lockstep/internal/rungroup"
)

// serve puts the program together and runs it until ctx ends. started is called
// once it is ready.
func (p *program) serve(ctx context.Context, assemble func(context.Context) error, started func()) error {
	if err := assemble(ctx); err != nil {
		p.abandon()
		return unlessStopped(ctx, err)
	}
	return p.run(ctx, started)
}

// unlessStopped returns why a start failed; nil if it was told to stop.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// run serves until ctx ends, then stops in order: not ready, and after the
// drain delay no requests, no messages, no publishing, no broker session, no
// store, no broker. started is called once the process is ready.
func (p *program) run(ctx context.Context, started func()) error {
	ready := p.ready
	for _, s := range p.services {
		ready.Add(s.checks...)
	}
	if p.broker != nil {
		ready.Add(api.Check{Name: "broker", Probe: p.broker.Check})
	}
	ops, err := api.NewOps(p.opsOptions())
	if err != nil {
		p.abandon()
		return err
	}
	p.opsAt.answer(ops)
	p.undo = nil // from here on the group gives everything back
	var g rungroup.Group
	servers := p.servers()
	g.OnStop("readiness", func() error { p.drain(ready, servers); return nil })
	g.Stage("requests", partsOf(servers)...)
	g.Stage("listeners", p.listenersAndJobs()...)
	g.Stage("relays", p.each(func(s *service) rungroup.Part { return s.relay.Run })...)
	g.Stage("broker sessions", p.each(func(s *service) rungroup.Part { return s.session.Run })...)
	g.Stage("incidents", append(p.each(func(s *service) rungroup.Part { return s.incidents.Run }),
		p.each(func(s *service) rungroup.Part { return s.lookout.run })...)...)
	g.Stage("ops", append(p.each(watchOutbox), append(p.opsParts(), ready.Run, announce(ready, started))...)...)
	for _, s := range p.services {
		g.OnStop(s.name+" store", s.store.close)
	}
	if p.broker != nil {
		g.OnStop("broker", func() error { p.broker.Shutdown(); return nil })
	}
	p.log.InfoContext(ctx, "starting", "ops", p.opsAt.Addr().String())
	if p.ops.OpsToken == "" && p.metricsAt == nil && !p.shared {
		p.log.InfoContext(ctx, "the ops port serves this machine only: set METRICS_ADDR for probes and scrapes from others, or OPS_TOKEN for everything", "ops", p.opsAt.Addr().String())
	}
	err = g.Run(ctx, p.drainDelay+stopWithin)
	p.log.InfoContext(context.WithoutCancel(ctx), "stopped")
	return err
}

// opsParts end the servers of the ops port and of probes.
func (p *program) opsParts() []rungroup.Part {
	if p.metricsAt == nil {
		return []rungroup.Part{p.opsAt.run}
	}
	return []rungroup.Part{p.opsAt.run, p.metricsAt.run}
}

// announce returns a part that calls started once the process is ready.
func announce(ready *api.Readiness, started func()) rungroup.Part {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-ready.First():
			started()
		}
		<-ctx.Done()
		return nil
	}
}

// each makes one part of each service.
func (p *program) each(part func(*service) rungroup.Part) []rungroup.Part {
	var parts []rungroup.Part
	for _, s := range p.services {
		parts = append(parts, part(s))
	}
	return parts
}

// servers returns the servers of the APIs.
func (p *program) servers() []*api.Server {
	var servers []*api.Server
	most := p.doors.connections(p.log)
	for _, s := range p.services {
		at := p.ticketsAt
		if s.store == p.orderStore {
			at = p.ordersAt
		}
		servers = append(servers, api.NewServer(at, s.door, api.ServerOptions{
			MaxConnections: most, Within: drainWithin, Log: s.log, Registerer: s.reg,
		}))
	}
	return servers
}

func partsOf(servers []*api.Server) []rungroup.Part {
	var parts []rungroup.Part
	for _, s := range servers {
		parts = append(parts, s.Run)
	}
	return parts
}

// drain says at once that the process is not ready, and returns when whoever
// sends it requests has had the time to notice. Until then they are answered.
func (p *program) drain(ready *api.Readiness, servers []*api.Server) {
	ready.Drain()
	for _, s := range servers {
		s.Drain()
	}
	if p.drainDelay > 0 {
		p.log.Info("not ready any more, and serving for a while", "drain_delay", p.drainDelay.String())
	}
	time.Sleep(p.drainDelay)
}

func (p *program) listenersAndJobs() []rungroup.Part {
	var parts []rungroup.Part
	for _, s := range p.services {
		parts = append(parts, s.jobs...)
		for _, l := range s.listeners {
			run := l.Run
			if s.filling != nil {
				run = s.filling.before(run)
			}
			parts = append(parts, run)
		}
	}
	return parts
}

func watchOutbox(s *service) rungroup.Part {
	return func(ctx context.Context) error { return s.gauges.Watch(ctx, s.store.outbox, 0, s.log) }
}

// probed is what probes and scrapes are answered from.
func (p *program) probed() api.OpsOptions {
	return api.OpsOptions{Ready: p.ready, Metrics: p.registry, Log: p.log, Hosts: p.ops.hosts()}
}

func (p *program) opsOptions() api.OpsOptions {
	o := p.probed()
	o.Address, o.Token = p.ops.OpsAddr, p.ops.OpsToken
	o.Comparer, o.Reconciler = p.compare, p.conform
	for _, s := range p.services {
		o.Services = append(o.Services, s.ops())
	}
	if p.ticketStore != nil {
		o.Locks, o.Tickets = p.locks, p.ticketStore.tickets
	}
	if p.orderStore != nil {
		o.Replica, o.Orders, o.Refunds = p.orderStore.replica, p.orderStore.orders, p.orderStore.orders
	}
	return o
}
