package main

import (
	"context"
	"slices"
	"time"

	"lockstep/api"
	"lockstep/event"
	"lockstep/internal/rungroup"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/replica"
)

// ordersCmd runs the orders service.
type ordersCmd struct {
	OrdersAddr string `env:"ORDERS_ADDR" default:":3000" help:"Where the orders API is served."`
	opsFlags   `set:"ops_addr="`
	storeFlags `set:"data_dir="`
	natsFlags  `set:"cluster_id="`
	jwtFlags
	listenerFlags
	orderFlags
}

// Run serves until ctx ends.
func (c *ordersCmd) Run(ctx context.Context, s streams, l *logFlags) error {
	if err := complete(c.storeFlags, c.natsFlags, c.jwtFlags, c.opsFlags); err != nil {
		return err
	}
	p := newProgram(l.logger(s.err), c.opsFlags)
	if err := c.assemble(ctx, p); err != nil {
		p.abandon()
		return err
	}
	return p.run(ctx, func() { p.log.InfoContext(ctx, "ready") })
}

func (c *ordersCmd) assemble(ctx context.Context, p *program) error {
	if err := p.openOrders(ctx, c.storeFlags, c.OrdersAddr); err != nil {
		return err
	}
	if err := p.openOps(ctx); err != nil {
		return err
	}
	return p.assemble(settings{jwt: c.jwtFlags, nats: c.natsFlags, listening: c.listenerFlags, orders: c.orderFlags})
}

// newOrders builds the orders service.
func (p *program) newOrders(st *store, f orderFlags) (*service, error) {
	s, err := p.newService("orders", st, event.OrderSubjects())
	if err != nil {
		return nil, err
	}
	orders := order.NewService(st.orders, st.orderTickets, order.Options{Window: f.OrderWindow})
	if err := p.listenToTickets(s, f.VersionStep); err != nil {
		return nil, err
	}
	ended := listeners.NewOrders(orders)
	if err := p.listen(s, "orders listener of payments", ended, listeners.Options{Group: listeners.OrdersService}); err != nil {
		return nil, err
	}
	if err := p.lag(s, listeners.OrdersService, slices.Concat(event.TicketSubjects(), ended.Subjects())); err != nil {
		return nil, err
	}
	s.checks = append(s.checks, s.onceSubscribed())
	s.jobs = append(s.jobs, order.NewExpiry(orders, 0, s.log).Run)
	s.door, err = api.NewOrders(orders, api.Options{Sessions: p.sessions, Log: s.log, Registerer: s.reg})
	return s, err
}

// listenToTickets adds the listener that keeps the replica, and if it is known
// whom to ask, the repair of its gaps and of what the broker lost.
func (p *program) listenToTickets(s *service, step int64) error {
	metrics := replica.NewMetrics(s.reg)
	o := listeners.Options{Group: listeners.OrdersService}
	if p.listening.CanonicalURL != "" {
		owner, err := api.NewOwner(p.listening.CanonicalURL)
		if err != nil {
			return &usageError{"CANONICAL_URL: " + err.Error()}
		}
		repairer := replica.NewRepairer(s.store.replica, owner, replica.RepairOptions{Metrics: metrics})
		o.Repairer = repairer
		p.mendReplica(s, owner, repairer, metrics)
	}
	o.Losses = s.losses(listeners.OrdersService, event.TicketSubjects())
	s.jobs = append(s.jobs, s.countRows(metrics))
	projector := replica.NewProjector(s.store.replica)
	projector.Metrics, projector.Log = metrics, s.log
	return p.listen(s, "orders listener", listeners.NewTickets(projector, event.Scheme{Step: step}), o)
}

// rowsEvery is how often the rows of the replica are counted.
const rowsEvery = 10 * time.Second

// countRows keeps the number of rows up to date.
func (s *service) countRows(m *replica.Metrics) rungroup.Part {
	return func(ctx context.Context) error {
		tick := time.NewTicker(rowsEvery)
		defer tick.Stop()
		for {
			if n, err := s.store.replica.Count(ctx); err == nil {
				m.Rows(n)
			} else if ctx.Err() == nil {
				s.log.WarnContext(ctx, "rows of the replica cannot be counted", "err", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}
