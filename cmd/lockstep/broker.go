package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"lockstep/internal/broker"
	"lockstep/internal/hosts"
)

// brokerCmd runs the embedded NATS Streaming server alone.
type brokerCmd struct {
	brokerFlags
	DataDir       string `env:"DATA_DIR" form:"text" default:"" type:"path" help:"Where messages are kept."`
	NATSClusterID string `name:"nats-cluster-id" env:"NATS_CLUSTER_ID" form:"cluster" help:"Cluster id that clients must name."`
}

func (c *brokerCmd) missing() missing {
	return undefined("DATA_DIR", c.DataDir, "NATS_CLUSTER_ID", c.NATSClusterID)
}

// Run serves until ctx ends.
func (c *brokerCmd) Run(ctx context.Context, s streams, l *logFlags) error {
	log := l.logger(s.err)
	limitMemory(log)
	warnOf(c.weak(), log)
	b, err := startBroker(ctx, c.brokerFlags, c.NATSClusterID, c.DataDir, log)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "started", "url", b.URL(), "monitor", b.MonitorURL())
	<-ctx.Done()
	b.Shutdown()
	log.InfoContext(context.WithoutCancel(ctx), "stopped")
	return nil
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
