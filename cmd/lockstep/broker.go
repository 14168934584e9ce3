package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"lockstep/api"
	"lockstep/internal/broker"
	"lockstep/internal/hosts"
	"lockstep/internal/rungroup"
)

// brokerCmd runs the embedded NATS Streaming server alone.
type brokerCmd struct {
	brokerFlags
	DataDir       string `env:"DATA_DIR" form:"text" default:"" type:"path" help:"Where messages are kept."`
	NATSClusterID string `name:"nats-cluster-id" env:"NATS_CLUSTER_ID" form:"cluster" help:"Cluster id that clients must name."`

	OpsAddr     string `env:"OPS_ADDR" form:"address" help:"Where /metrics, /healthz and /readyz are served; unset: nowhere."`
	MetricsAddr string `env:"METRICS_ADDR" form:"address" help:"Where they are served as well."`
	OpsHosts    string `env:"OPS_HOSTS" form:"names" help:"Names that requests to both may ask for, with commas, besides addresses, localhost and this host's own name."`
}

func (c *brokerCmd) missing() missing {
	return undefined("DATA_DIR", c.DataDir, "NATS_CLUSTER_ID", c.NATSClusterID)
}

// Run serves until ctx ends.
func (c *brokerCmd) Run(ctx context.Context, s streams, l *logFlags) error {
	p := newProgram(l.logger(s.err), opsFlags{OpsHosts: c.OpsHosts}, stopFlags{})
	warnOf(c.weak(), p.log)
	probes, err := c.serveProbes(ctx, p)
	if err == nil {
		p.broker, err = p.startBroker(ctx, c.brokerFlags, c.NATSClusterID, c.DataDir)
	}
	if err != nil {
		p.abandon()
		return unlessStopped(ctx, err)
	}
	p.undo = nil // from here on the group gives everything back
	p.ready.Add(api.Check{Name: "broker", Probe: p.broker.Check})
	var g rungroup.Group
	g.OnStop("readiness", func() error { p.ready.Drain(); return nil })
	g.OnStop("broker", func() error { p.broker.Shutdown(); return nil })
	g.Stage("probes", append(probes, p.ready.Run)...)
	p.log.InfoContext(ctx, "started", "url", p.broker.URL(), "monitor", p.broker.MonitorURL())
	err = g.Run(ctx, stopWithin)
	p.log.InfoContext(context.WithoutCancel(ctx), "stopped")
	return err
}

// serveProbes answers probes and scrapes where the flags say so, from before the
// broker has read its store.
func (c *brokerCmd) serveProbes(ctx context.Context, p *program) ([]rungroup.Part, error) {
	var parts []rungroup.Part
	for _, at := range [][2]string{{"--ops-addr (OPS_ADDR)", c.OpsAddr}, {"--metrics-addr (METRICS_ADDR)", c.MetricsAddr}} {
		if at[1] == "" {
			continue
		}
		server, err := p.openProbes(ctx, at[0], at[1])
		if err != nil {
			return nil, err
		}
		p.log.InfoContext(ctx, "metrics and probes are served", "at", server.Addr().String())
		parts = append(parts, server.run)
	}
	return parts, nil
}

// startBroker starts a broker of the process's own, whose metrics the process
// shows.
func (p *program) startBroker(ctx context.Context, f brokerFlags, clusterID, dataDir string) (*broker.Broker, error) {
	b, err := startBroker(ctx, f, clusterID, dataDir, p.log)
	if err != nil {
		return nil, err
	}
	var groups []broker.Group
	for _, w := range everyGroup() {
		groups = append(groups, broker.Group{Channel: string(w.Channel), Name: w.Group})
	}
	p.registry.MustRegister(b.Collector(groups))
	return b, nil
}

// startBroker starts a broker that keeps its messages in the data directory.
func startBroker(ctx context.Context, f brokerFlags, clusterID, dataDir string, log *slog.Logger) (*broker.Broker, error) {
	if f.NATSPassword == "" && !hosts.Loopback(f.NATSListen) {
		log.WarnContext(ctx, "the broker is open to other machines without a password: whoever reaches it may read and publish everything; set NATS_PASSWORD", "listen", f.NATSListen)
	}
	b, err := broker.Start(ctx, broker.Options{
		ClusterID: clusterID, Listen: f.NATSListen, Monitor: f.NATSMonitor, MaxConnections: share(), Password: f.NATSPassword,
		StoreDir: filepath.Join(dataDir, "broker"), Log: log.With("service", "broker"),
	})
	switch {
	case errors.Is(err, broker.ErrAddressTaken):
		return nil, fmt.Errorf("%w stop it, or choose another address with --nats-listen (NATS_LISTEN) or --nats-monitor (NATS_MONITOR)", err)
	case errors.Is(err, broker.ErrStoreTaken):
		return nil, fmt.Errorf("%w: stop it, or choose another directory with --data-dir (DATA_DIR)", err)
	}
	return b, err
}
