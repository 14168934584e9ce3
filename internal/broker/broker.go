package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"
	"sync"

	natsd "github.com/nats-io/nats-server/v2/server"
	stand "github.com/nats-io/nats-streaming-server/server"
)

// Why a broker does not start; the error that wraps one of these names the
// address or the directory.
var (
	ErrAddressTaken = errors.New("the address is in use: is another broker running?")
	ErrStoreTaken   = errors.New("the directory is in use by another broker")
)

// Broker is a running server. Its methods may be called from many goroutines.
type Broker struct {
	opts    Options
	url     string
	nats    *natsd.Server
	stan    *stand.StanServer
	monitor *monitor
	lock    io.Closer
	mark    fs.FileInfo // of the file openName, as it was made; nil without a store directory
	stop    sync.Once
}

// Start runs a broker until Shutdown. A broker that is shut down can be
// started again on the same addresses and the same store directory. Of ctx
// only the values are used, for logging.
func Start(ctx context.Context, o Options) (*Broker, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	b := &Broker{opts: o}
	if err := b.start(context.WithoutCancel(ctx)); err != nil {
		b.Shutdown()
		return nil, err
	}
	return b, nil
}

// URL returns where clients connect, as nats://host:port.
func (b *Broker) URL() string { return b.url }

// ClientURL returns URL with the password, if the broker has one.
func (b *Broker) ClientURL() string {
	if b.opts.Password == "" {
		return b.url
	}
	return "nats://" + url.UserPassword(User, b.opts.Password).String() + "@" + strings.TrimPrefix(b.url, "nats://")
}

// MonitorURL returns where the monitoring pages are, as http://host:port, or
// "" if there are none.
func (b *Broker) MonitorURL() string {
	if b.monitor == nil {
		return ""
	}
	return "http://" + reachable(b.monitor.listener.Addr().String())
}

// ClusterID returns the cluster id clients must name.
func (b *Broker) ClusterID() string { return b.opts.ClusterID }

// Shutdown stops the broker and returns when its ports and its directory are
// free. It may be called more than once; every call waits.
func (b *Broker) Shutdown() {
	b.stop.Do(func() {
		if b.monitor != nil {
			if err := b.monitor.close(); err != nil {
				b.opts.Log.Warn("monitoring pages did not stop cleanly", "err", err)
			}
		}
		if b.stan != nil {
			b.stan.Shutdown()
		}
		if b.nats != nil {
			b.nats.Shutdown()
			b.nats.WaitForShutdown()
		}
		if b.lock != nil {
			if err := b.releaseStore(); err != nil {
				b.opts.Log.Warn("store directory was not released cleanly", "dir", b.opts.StoreDir, "err", err)
			}
		}
	})
}

func (b *Broker) start(ctx context.Context) error {
	log := &logger{ctx: ctx, log: b.opts.Log}
	if err := b.takeStore(ctx); err != nil {
		return err
	}
	if b.opts.Monitor == "" {
		return b.serve(ctx, log)
	}
	pages, err := listen(ctx, b.opts.Monitor)
	if err != nil {
		return fmt.Errorf("broker monitoring on %s: %w", b.opts.Monitor, err)
	}
	if err := b.serve(ctx, log); err != nil {
		return errors.Join(err, pages.Close())
	}
	b.monitor = serveMonitor(pages, b.opts, b.stan, b.nats)
	return nil
}
