package main

import (
	"context"
	"math"
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
	OrdersAddr string `env:"ORDERS_ADDR" form:"address" default:":3000" help:"Where the orders API is served."`
	opsFlags   `set:"ops_addr="`
	storeFlags `set:"data_dir="`
	natsFlags  `set:"cluster_id="`
	jwtFlags
	strictFlag
	listenerFlags
	stopFlags
	doorFlags
	notifyFlags
	orderFlags
}

func (c *ordersCmd) missing() missing {
	return needs(c.storeFlags, c.natsFlags, c.jwtFlags, c.opsFlags)
}

// Run serves until ctx ends.
func (c *ordersCmd) Run(ctx context.Context, s streams, l *logFlags) error {
	p := newProgram(l.logger(s.err), c.opsFlags, c.stopFlags)
	return p.serve(ctx, func(ctx context.Context) error { return c.assemble(ctx, p) }, func() { p.log.InfoContext(ctx, "ready") })
}

func (c *ordersCmd) assemble(ctx context.Context, p *program) error {
	if err := p.openOps(ctx); err != nil {
		return err
	}
	if err := p.openOrders(ctx, c.storeFlags, c.OrdersAddr); err != nil {
		return err
	}
	return p.assemble(settings{doors: c.doorFlags, jwt: c.jwtFlags, weak: weakOf(c.jwtFlags, c.opsFlags, c.natsFlags, c.storeFlags), strict: c.strictFlag, nats: c.natsFlags, listening: c.listenerFlags, notify: c.notifyFlags, orders: c.orderFlags})
}

// newOrders builds the orders service.
func (p *program) newOrders(st *store, f orderFlags) (*service, error) {
	s, err := p.newService("orders", st, event.OrderSubjects())
	if err != nil {
		return nil, err
	}
	warnOfWindows(s.log, f.OrderWindow)
	metrics := order.NewMetrics(s.reg)
	orders := order.NewService(st.orders, st.orderTickets, order.Options{
		Window: f.OrderWindow, Payments: listeners.NewPayments(s.session), Metrics: metrics, Log: s.log,
		OnRefund: s.raiseRefund,
	})
	s.lookout.recorded = append(s.lookout.recorded, s.refunds(), s.wrongLocks())
	locks := order.NewLockWatch(orders, order.LockWatchOptions{OnGivenUp: s.raiseWrongLock, Metrics: metrics, Log: s.log})
	s.jobs = append(s.jobs, locks.Run)
	st.replica = watched{st.replica, locks.Saw, orders.TicketGone}
	ended := listeners.NewOrders(orders)
	s.lookForLosses(listeners.OrdersService, slices.Concat(event.TicketSubjects(), ended.Subjects()), event.TicketSubjects())
	if err := p.listenToTickets(s, f.VersionStep); err != nil {
		return nil, err
	}
	if err := p.listen(s, "orders listener of payments", api.ToStart, ended, listeners.Options{Group: listeners.OrdersService}); err != nil {
		return nil, err
	}
	if err := p.lag(s, listeners.OrdersService, slices.Concat(event.TicketSubjects(), ended.Subjects())); err != nil {
		return nil, err
	}
	p.expire(s, orders, metrics)
	s.door, err = api.NewOrders(orders, api.Options{Sessions: p.sessions, Log: s.log, Registerer: s.reg, Limits: p.doors.limits()})
	return s, err
}

// watched is a replica of which somebody is told what is written, whoever writes
// it: the listener, a repair, a comparison, the operator. Rows are removed by who
// trusts the owner alone.
type watched struct {
	replica.Store
	wrote   func(ticketID string)
	removed func(ctx context.Context, ticketID string) error
}

// Write implements replica.Store.
func (w watched) Write(ctx context.Context, writes []replica.Write) (int, error) {
	n, err := w.Store.Write(ctx, writes)
	for _, c := range writes {
		w.wrote(c.Row.ID)
		if c.Remove && err == nil {
			err = w.removed(ctx, c.Row.ID)
		}
	}
	return n, err
}

// expire adds the job that cancels overdue orders once payments are received.
// Orders that it leaves behind make the service degraded.
func (p *program) expire(s *service, orders *order.Service, metrics *order.Metrics) {
	payments := s.listeners[len(s.listeners)-1]
	e := order.NewExpiry(orders, order.ExpiryOptions{Ready: payments.Check, Metrics: metrics, Log: s.log})
	s.jobs = append(s.jobs, e.Run, s.countRefunds(metrics))
	s.checks = append(s.checks, api.Check{Name: "orders expiry", Probe: func(context.Context) error { return e.Check() }, Need: api.Never})
}

// listenToTickets adds the listener that keeps the replica, and if it is known
// whom to ask, the repair of its gaps and of what the broker lost.
func (p *program) listenToTickets(s *service, step int64) error {
	metrics := replica.NewMetrics(s.reg)
	o := listeners.Options{Group: listeners.OrdersService}
	if p.listening.CanonicalURL != "" {
		owner, err := api.NewOwner(p.listening.CanonicalURL, p.ops.OpsToken)
		if err != nil {
			return &usageError{"CANONICAL_URL: " + err.Error()}
		}
		repairer := replica.NewRepairer(s.store.replica, owner, replica.RepairOptions{Metrics: metrics})
		o.Repairer = repairer
		p.mendReplica(s, owner, repairer, metrics)
	}
	s.jobs = append(s.jobs, s.countRows(metrics))
	projector := replica.NewProjector(s.store.replica)
	projector.Metrics, projector.Log = metrics, s.log
	return p.listen(s, "orders listener", api.ToStart, listeners.NewTickets(projector, event.Scheme{Step: step}), o)
}

// What a store holds is counted every countEvery, and where that takes long
// countShare times as long later, but for countRest.
const (
	countEvery = 10 * time.Second
	countShare = 100
	countRest  = 2 * time.Minute
)

// countRows keeps the number of rows up to date. If half of them are gone,
// they are asked for again, and if all of them are, the process is not ready
// meanwhile.
func (s *service) countRows(m *replica.Metrics) rungroup.Part {
	was := 0
	return s.counting("rows of the replica", s.store.replica.Count, m.Rows, func(ctx context.Context, n int) {
		if n < was/2 || n == 0 && was > 0 {
			s.log.ErrorContext(ctx, "rows of the replica are gone: their tickets were deleted, or somebody else removed them", "were", was, "are", n)
			s.refill(ctx, n)
		}
		was = n
	})
}

// refill asks for rows that are gone, if there is somebody to ask.
func (s *service) refill(ctx context.Context, left int) {
	if s.mending == nil {
		return
	}
	if left == 0 {
		s.filling.emptied(ctx)
	}
	s.mending.want()
}

// countRefunds keeps the number of open refunds up to date.
func (s *service) countRefunds(m *order.Metrics) rungroup.Part {
	return s.counting("open refunds", s.store.orders.OpenRefunds, m.OpenRefunds, nil)
}

// counting counts now and then until ctx ends. show is given NaN while nobody
// knows, and tell, if there is one, what is known. Between two counts it looks
// whether the store is there: what it holds is not known otherwise.
func (s *service) counting(what string, count func(context.Context) (int, error), show func(float64), tell func(context.Context, int)) rungroup.Part {
	return func(ctx context.Context) error {
		for due := (time.Time{}); ; {
			began, n, err := time.Now(), 0, error(nil)
			early := began.Before(due)
			if early {
				err = bounded(ctx, s.store.ping)
			} else {
				n, err = count(ctx)
			}
			switch {
			case err != nil && ctx.Err() == nil:
				due = time.Time{}
				show(math.NaN())
				s.log.WarnContext(ctx, "not counted: "+what, "err", err)
			case err == nil && !early:
				due = time.Now().Add(min(countShare*time.Since(began), countRest))
				show(float64(n))
				if tell != nil {
					tell(ctx, n)
				}
			}
			pause := time.NewTimer(countEvery)
			select {
			case <-ctx.Done():
				pause.Stop()
				return nil
			case <-pause.C:
			}
		}
	}
}
