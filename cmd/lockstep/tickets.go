package main

import (
	"context"

	"lockstep/api"
	"lockstep/event"
	"lockstep/listeners"
	"lockstep/ticket"
)

// ticketsCmd runs the tickets service.
type ticketsCmd struct {
	TicketsAddr string `env:"TICKETS_ADDR" form:"address" default:":3000" help:"Where the tickets API is served."`
	opsFlags    `set:"ops_addr="`
	storeFlags  `set:"data_dir="`
	natsFlags   `set:"cluster_id="`
	jwtFlags
	strictFlag
	listenerFlags
	stopFlags
	doorFlags
	ticketFlags `set:"ticket_delete=off"`
	notifyFlags
}

func (c *ticketsCmd) missing() missing {
	return needs(c.storeFlags, c.natsFlags, c.jwtFlags, c.opsFlags)
}

// Run serves until ctx ends.
func (c *ticketsCmd) Run(ctx context.Context, s streams, l *logFlags) error {
	p := newProgram(l.logger(s.err), c.opsFlags, c.stopFlags)
	return p.serve(ctx, func(ctx context.Context) error { return c.assemble(ctx, p) }, func() { p.log.InfoContext(ctx, "ready") })
}

func (c *ticketsCmd) assemble(ctx context.Context, p *program) error {
	if err := p.openOps(ctx); err != nil {
		return err
	}
	if err := p.openTickets(ctx, c.storeFlags, c.TicketsAddr); err != nil {
		return err
	}
	return p.assemble(settings{doors: c.doorFlags, jwt: c.jwtFlags, weak: weakOf(c.jwtFlags, c.opsFlags, c.natsFlags, c.storeFlags), strict: c.strictFlag, nats: c.natsFlags, listening: c.listenerFlags, notify: c.notifyFlags, tickets: c.ticketFlags})
}

// newTickets builds the tickets service.
func (p *program) newTickets(st *store, f ticketFlags) (*service, error) {
	s, err := p.newService("tickets", st, event.TicketSubjects())
	if err != nil {
		return nil, err
	}
	metrics := ticket.NewMetrics(s.reg)
	tickets := ticket.NewService(st.tickets, ticket.Options{Metrics: metrics})
	s.jobs = append(s.jobs, s.counting("orders that wait for a ticket", st.tickets.Waiting, metrics.Waiting, nil))
	p.locks = tickets
	if err := p.mendLocks(s, tickets, metrics); err != nil {
		return nil, err
	}
	s.lookForLosses(listeners.TicketsService, event.OrderSubjects(), event.OrderSubjects())
	need := api.Never // alone it is ready without a broker
	if p.shared {
		need = api.ToStart // a newcomer is told of a system that works from end to end
	}
	if err := p.listen(s, "tickets listener", need, listeners.NewLocks(tickets), listeners.Options{Group: listeners.TicketsService}); err != nil {
		return nil, err
	}
	if err := p.lag(s, listeners.TicketsService, event.OrderSubjects()); err != nil {
		return nil, err
	}
	s.door, err = api.NewTickets(tickets, api.Options{Sessions: p.sessions, Log: s.log, Registerer: s.reg, Delete: f.deletes(), Limits: p.doors.limits()})
	return s, err
}
