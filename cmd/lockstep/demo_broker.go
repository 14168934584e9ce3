package main

import (
	"context"
	"strings"
	"time"
)

const demoCluster = "demo"

// startBroker starts the broker, or brings it back with what it had stored.
func (d *demo) startBroker(ctx context.Context, f brokerFlags) error {
	b, err := startBroker(ctx, f, demoCluster, d.dir, d.log)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broker, d.away = b, false
	return nil
}

// stopBroker takes the broker away and returns where it was.
func (d *demo) stopBroker() brokerFlags {
	d.mu.Lock()
	b := d.broker
	d.broker, d.away = nil, true
	d.mu.Unlock()
	if b == nil {
		return brokerFlags{}
	}
	b.Shutdown()
	return brokerFlags{
		NATSListen:  strings.TrimPrefix(b.URL(), "nats://"),
		NATSMonitor: strings.TrimPrefix(b.MonitorURL(), "http://"),
	}
}

func (d *demo) isAway() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.away
}

// outage takes the broker away in the middle of the writing. The broker comes
// back also if the writing ends meanwhile.
func (d *demo) outage(ctx context.Context) error {
	wait(ctx, (d.For-d.Outage)/2)
	where := d.stopBroker()
	wait(ctx, d.Outage)
	return d.startBroker(context.WithoutCancel(ctx), where)
}

// wait returns after a while, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
