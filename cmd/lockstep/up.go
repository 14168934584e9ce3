package main

import (
	"context"
	"log/slog"
	"net"
)

// upCmd runs the whole system in one process.
type upCmd struct {
	TicketsAddr string `env:"TICKETS_ADDR" form:"address" default:"127.0.0.1:3000" help:"Where the tickets API is served."`
	OrdersAddr  string `env:"ORDERS_ADDR" form:"address" default:"127.0.0.1:3001" help:"Where the orders API is served."`
	opsFlags    `set:"ops_addr=127.0.0.1:3002"`
	storeFlags  `set:"data_dir=./lockstep-data"`
	natsFlags   `set:"cluster_id=ticketing"`
	brokerFlags
	jwtFlags
	strictFlag
	listenerFlags
	stopFlags
	doorFlags
	ticketFlags `set:"ticket_delete=on"`
	notifyFlags
	orderFlags
}

func (c *upCmd) missing() missing { return needs(c.opsFlags) }

// Run serves until ctx ends.
func (c *upCmd) Run(ctx context.Context, s streams, l *logFlags) error {
	up, err := newUp(ctx, *c, l.logger(s.err))
	if err != nil {
		return unlessStopped(ctx, err)
	}
	return up.run(ctx, func() { up.greet(s.out) })
}

// system is what up runs: a program of both services and, unless a broker was
// named, one of those.
type system struct {
	*program
	flags   upCmd  // with everything filled in that was left open
	keyFile string // where the key of sessions is kept; "" if it was given
}

// newUp puts the system together. Whoever gets it must run or abandon it.
func newUp(ctx context.Context, c upCmd, log *slog.Logger) (*system, error) {
	s := &system{flags: c, program: newProgram(log, c.opsFlags, c.stopFlags)}
	s.shared = true
	if err := s.assembleUp(ctx); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

func (s *system) assembleUp(ctx context.Context) error {
	c := &s.flags
	weak := weakOf(c.jwtFlags, c.opsFlags, c.natsFlags, c.storeFlags, c.brokerFlags)
	if err := s.openOps(ctx); err != nil {
		return err
	}
	if err := s.openTickets(ctx, c.storeFlags, c.TicketsAddr); err != nil {
		return err
	}
	if err := s.openOrders(ctx, c.storeFlags, c.OrdersAddr); err != nil {
		return err
	}
	if err := s.ensureBroker(ctx); err != nil {
		return err
	}
	if c.NATSClientID == "" {
		c.NATSClientID = clientID(c.DataDir)
	}
	if c.CanonicalURL == "" {
		c.CanonicalURL = urlOf(s.opsAt)
	}
	if c.JWTKey == "" && c.JWTKeysFile == "" {
		var err error
		if c.JWTKey, s.keyFile, err = keepKey(c.DataDir); err != nil {
			return err
		}
	}
	return s.assemble(settings{doors: c.doorFlags, jwt: c.jwtFlags, weak: weak, strict: c.strictFlag, nats: c.natsFlags, listening: c.listenerFlags, notify: c.notifyFlags, tickets: c.ticketFlags, orders: c.orderFlags})
}

// ensureBroker starts a broker of the system's own unless one was named.
func (s *system) ensureBroker(ctx context.Context) error {
	c := &s.flags
	if c.NATSURL != "" {
		return nil
	}
	b, err := s.startBroker(ctx, c.brokerFlags, c.NATSClusterID, c.DataDir)
	if err != nil {
		return err
	}
	s.broker = b
	s.undo = append(s.undo, func() error { b.Shutdown(); return nil })
	c.NATSURL = b.ClientURL()
	if c.NATSMonitorURL == "" {
		c.NATSMonitorURL = b.MonitorURL()
	}
	return nil
}

// urlOf returns where this machine reaches a listener.
func urlOf(l net.Listener) string {
	at := l.Addr().(*net.TCPAddr)
	host := at.IP.String()
	if at.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	_, port, _ := net.SplitHostPort(at.String()) // a TCP address has a port
	return "http://" + net.JoinHostPort(host, port)
}
