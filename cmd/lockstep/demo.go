package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"lockstep/internal/broker"
	"lockstep/internal/session"
)

// demoCmd is a finite proof: it runs up in a temporary directory, drives it
// through HTTP, makes the bus as bad as it may be, and then counts.
type demoCmd struct {
	For     time.Duration `default:"40s" min:"1s" max:"1h" help:"How long tickets and orders are written."`
	Outage  time.Duration `default:"8s" min:"100ms" max:"1h" help:"How long the broker is away in the middle of it."`
	Writers int           `default:"8" min:"1" max:"1000" help:"Users who write at the same time."`
}

// settleWithin is how long the system may take to come to rest after the last
// write.
const settleWithin = time.Minute

// Run plays and prints; an error means that something was lost, duplicated or
// left behind, or that the proof could not be made.
func (c *demoCmd) Run(ctx context.Context, s streams) error {
	dir, err := os.MkdirTemp("", "lockstep-demo")
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Everything happens in this process and in %s.\n\n", dir)
	found, err := c.play(ctx, dir, s.out)
	if err == nil {
		found.print(s.out)
		err = found.verdict()
	}
	if err != nil {
		return fmt.Errorf("%w (data and log are kept in %s)", err, dir)
	}
	return os.RemoveAll(dir)
}

// demo is one performance.
type demo struct {
	demoCmd
	dir      string
	log      *slog.Logger
	out      io.Writer
	system   *system
	stranger *session.Session // for what others do on the bus
	load     *load
	mess     *mess

	mu     sync.Mutex
	broker *broker.Broker // nil while it is away
	away   bool           // for the load, which counts what it does meanwhile
}

// play runs everything and returns what was found. Whatever it started has
// ended when it returns.
func (c *demoCmd) play(ctx context.Context, dir string, out io.Writer) (_ *findings, err error) {
	file, err := os.Create(filepath.Join(dir, "demo.log"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	d := &demo{demoCmd: *c, dir: dir, out: out, log: slog.New(slog.NewTextHandler(file, nil))}
	if err := d.startBroker(ctx, brokerFlags{NATSListen: "127.0.0.1:0", NATSMonitor: "127.0.0.1:0"}); err != nil {
		return nil, err
	}
	defer d.stopBroker()
	ready := make(chan struct{})
	if err := d.assemble(ctx); err != nil {
		return nil, err
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	run := func(what string, part func(context.Context) error) {
		running.Go(func() {
			if err := part(ctx); err != nil {
				stop(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	run("system", func(ctx context.Context) error { return d.system.run(ctx, func() { close(ready) }) })
	run("stranger", d.stranger.Run)
	run("tap", d.mess.listen)
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return d.acts(ctx, stop)
}

// assemble puts the system and the stranger together.
func (d *demo) assemble(ctx context.Context) error {
	c := upCmd{
		TicketsAddr: "127.0.0.1:0", OrdersAddr: "127.0.0.1:0", opsFlags: opsFlags{OpsAddr: "127.0.0.1:0"},
		storeFlags: storeFlags{DataDir: d.dir}, natsFlags: natsFlags{NATSURL: d.broker.URL(), NATSClusterID: demoCluster},
		doorFlags:     doorFlags{MaxConnections: share()},
		listenerFlags: listenerFlags{AckWait: 5 * time.Second, MaxInFlight: 1024, CompareEvery: time.Hour},
		ticketFlags:   ticketFlags{TicketDelete: "on"},
		notifyFlags:   notifyFlags{QuarantineAlert: 100},
		orderFlags:    orderFlags{OrderWindow: time.Hour},
	}
	var err error
	d.stranger, err = session.New(session.Options{URL: d.broker.URL(), ClusterID: demoCluster, ClientID: "stranger", Log: d.log})
	if err != nil {
		return err
	}
	if d.system, err = newUp(ctx, c, d.log); err != nil {
		return err
	}
	d.load = newLoad(d)
	d.mess = newMess(d.stranger)
	return nil
}

// acts writes with the bus being bad, takes the broker away in between, waits
// for rest and looks. fail ends ctx.
func (d *demo) acts(ctx context.Context, fail context.CancelCauseFunc) (*findings, error) {
	began := time.Now()
	var shown sync.WaitGroup
	showing, hide := context.WithCancel(ctx)
	shown.Go(func() { d.show(showing, began) })
	defer shown.Wait()
	defer hide()

	writing, end := context.WithTimeout(ctx, d.For)
	defer end()
	var parts sync.WaitGroup
	parts.Go(func() { d.load.run(writing) })
	parts.Go(func() { d.mess.run(ctx, writing.Done()) })
	parts.Go(func() {
		if err := d.outage(writing); err != nil {
			fail(err)
		}
	})
	parts.Wait()
	if err := d.settle(ctx); err != nil {
		return nil, err
	}
	return d.look(ctx, time.Since(began))
}

func interrupted(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errors.New("interrupted")
}

// settle waits until nothing is on its way any more, or settleWithin has
// passed; what is left then is found afterwards.
func (d *demo) settle(ctx context.Context) error {
	deadline := time.After(settleWithin)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		resting, err := d.resting(ctx)
		if resting || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case <-deadline:
			return nil
		case <-tick.C:
		}
	}
}
