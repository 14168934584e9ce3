// Package brokertest gives tests a real broker in the same process: on free
// ports, stopped with the test, and able to go away and come back.
package brokertest

import (
	"sync"
	"testing"
	"time"

	"lockstep/internal/broker"
	"lockstep/test/spawn"
)

// ClusterID is the cluster id of every broker of this package.
const ClusterID = "lockstep-test"

// Broker is a broker of a test. It may be used from many goroutines.
type Broker struct {
	t       testing.TB
	mu      sync.Mutex
	opts    broker.Options
	running *broker.Broker // nil while stopped
	url     string
	monitor string
}

// Option changes how a test's broker runs.
type Option func(*broker.Options)

// Stored keeps the channels in dir instead of memory.
func Stored(dir string) Option { return func(o *broker.Options) { o.StoreDir = dir } }

// MaxMessages lets a channel drop its oldest messages beyond n.
func MaxMessages(n int) Option { return func(o *broker.Options) { o.MaxMessages = n } }

// Start runs a broker on free ports until the test ends. It keeps its channels
// in memory and notices dead clients within seconds, if no option says
// otherwise.
func Start(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	free := spawn.Addresses(t, 2) // they stay free while the broker is down
	b := &Broker{t: t, opts: broker.Options{
		ClusterID:         ClusterID,
		Listen:            free[0],
		Monitor:           free[1],
		HeartbeatInterval: time.Second,
		HeartbeatTimeout:  time.Second,
		HeartbeatFailures: 2,
	}}
	for _, o := range opts {
		o(&b.opts)
	}
	b.Restart()
	t.Cleanup(b.Stop)
	return b
}

// URL returns where clients connect. It stays the same over restarts.
func (b *Broker) URL() string { return b.url }

// MonitorURL returns where the monitoring pages are. It stays the same over
// restarts.
func (b *Broker) MonitorURL() string { return b.monitor }

// Stop ends the broker and waits; clients lose their connection. A stopped
// broker stays stopped.
func (b *Broker) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running != nil {
		b.running.Shutdown()
		b.running = nil
	}
}

// Restart stops the broker if it runs and starts it on the same ports. Without
// Stored it comes back empty: channels, durables and clients are forgotten and
// sequences begin at 1. It must be called from the test's own goroutine.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	running, err := broker.Start(b.t.Context(), b.opts)
	if err != nil {
		b.t.Fatalf("start broker: %v", err)
	}
	b.running = running
	b.url, b.monitor = running.URL(), running.MonitorURL()
}
