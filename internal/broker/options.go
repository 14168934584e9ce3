package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	stand "github.com/nats-io/nats-streaming-server/server"
	"github.com/nats-io/nats-streaming-server/stores"
)

// User is whom clients of a broker with a password are.
const User = "lockstep"

// Options say what to run. ClusterID and Listen are required.
type Options struct {
	ClusterID string
	Listen    string // host:port of the clients; port 0 picks a free one
	Password  string // what clients must bear, with the user User; "" lets everybody in
	Monitor   string // host:port of the monitoring pages; "" serves none, port 0 picks a free one
	StoreDir  string // where channels are kept, synced to disk; "" keeps them in memory
	Log       *slog.Logger

	MaxConnections int // clients at a time, and as many readers of the monitoring pages; 0 means 2,000

	// How a dead client is noticed: the server asks every HeartbeatInterval,
	// waits HeartbeatTimeout for the answer and gives up after
	// HeartbeatFailures unanswered ones. 0 means 5 s, 5 s and 2; the server's
	// own defaults leave a dead member in its group for over five minutes.
	HeartbeatInterval time.Duration
	HeartbeatTimeout  time.Duration
	HeartbeatFailures int

	// What a channel holds at most; 0 means no limit. A full channel drops
	// its oldest messages without telling anybody, also those that nobody has
	// read yet.
	MaxMessages int
	MaxBytes    int64
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HeartbeatInterval == 0 {
		o.HeartbeatInterval = 5 * time.Second
	}
	if o.HeartbeatTimeout == 0 {
		o.HeartbeatTimeout = 5 * time.Second
	}
	if o.HeartbeatFailures == 0 {
		o.HeartbeatFailures = 2
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 2000
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	if o.ClusterID == "" || strings.ContainsAny(o.ClusterID, " \t\r\n*>") {
		errs = append(errs, fmt.Errorf("%q is no cluster id for a broker", o.ClusterID))
	}
	if _, _, err := hostPort(o.Listen); err != nil {
		errs = append(errs, fmt.Errorf("broker listen address: %w", err))
	}
	if o.Monitor != "" {
		if _, _, err := hostPort(o.Monitor); err != nil {
			errs = append(errs, fmt.Errorf("broker monitor address: %w", err))
		}
	}
	return errors.Join(errs...)
}

// core returns the core server's options.
func (o Options) core(host string, port int) *natsd.Options {
	core := &natsd.Options{Host: host, Port: port, MaxConn: o.MaxConnections, NoLog: true, NoSigs: true}
	if o.Password != "" {
		core.Username, core.Password = User, o.Password
	}
	return core
}

// streaming returns the server's options. Heartbeats, limits and store are
// ours; the rest are the server's defaults.
func (o Options) streaming(natsURL string, log *logger) *stand.Options {
	so := stand.GetDefaultOptions()
	so.ID = o.ClusterID
	so.NATSServerURL = natsURL
	if o.Password != "" {
		so.Username, so.Password = User, o.Password
	}
	so.CustomLogger = log
	so.ClientHBInterval = o.HeartbeatInterval
	so.ClientHBTimeout = o.HeartbeatTimeout
	so.ClientHBFailCount = o.HeartbeatFailures
	so.StoreLimits = stores.StoreLimits{}
	so.MaxMsgs = o.MaxMessages
	so.MaxBytes = o.MaxBytes
	so.StoreType = stores.TypeMemory
	if o.StoreDir != "" {
		so.StoreType = stores.TypeFile
		so.FilestoreDir = o.StoreDir
		so.FileStoreOpts = stores.DefaultFileStoreOptions
		so.FileStoreOpts.DoSync = true
	}
	return so
}

func hostPort(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port: %w", addr, err)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no port between 0 and 65535", addr)
	}
	return host, port, nil
}
