package listeners

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
)

// ChannelInfo is what the broker tells of a channel from outside. The zero
// value stands for a channel that does not exist yet.
type ChannelInfo struct {
	Messages uint64 // stored now
	FirstSeq uint64 // of the oldest message stored; what is below was dropped
	LastSeq  uint64 // of the newest message ever stored
	groups   map[string]standing
}

// standing is where the members of a queue group stand together.
type standing struct {
	lastSent uint64 // the highest sequence sent to any member
	pending  uint64 // sent and not acknowledged
}

// Lag returns how many messages of the channel the durable queue group of that
// name has still to acknowledge. Messages the broker has dropped do not count,
// and for a group that has never joined all messages do.
func (c ChannelInfo) Lag(group string) uint64 {
	at, joined := c.groups[group]
	if !joined {
		return c.Messages
	}
	passed := at.lastSent
	if c.FirstSeq > 0 {
		passed = max(passed, c.FirstSeq-1)
	}
	return c.LastSeq - min(passed, c.LastSeq) + at.pending
}

// Monitor reads the broker's monitoring pages. Its methods may be called from
// many goroutines.
type Monitor struct {
	base   string
	client *http.Client
}

const (
	monitorWait = 5 * time.Second
	maxPage     = 8 << 20 // bytes of one page; a subscription takes about 400
)

// NewMonitor returns a reader of the pages at base, such as
// http://nats-srv:8222. Behind https the broker's certificate must be signed by
// one that the system trusts, or by one in the PEM file ca, which is read for each
// connection; "" for none.
func NewMonitor(base, ca string) (*Monitor, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("the broker monitor url cannot be read") // the cause would repeat a password
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("broker monitor url %q: want http://host:port", u.Redacted())
	}
	m := &Monitor{base: strings.TrimSuffix(base, "/"), client: &http.Client{Timeout: monitorWait}}
	if ca == "" || u.Scheme != "https" {
		return m, nil
	}
	if _, err := trusted(ca); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		roots, err := trusted(ca)
		if err != nil {
			return nil, err
		}
		d := tls.Dialer{Config: &tls.Config{RootCAs: roots}}
		return d.DialContext(ctx, network, address)
	}
	m.client.Transport = transport
	return m, nil
}

// trusted returns the certificates of the system and those in a file.
func trusted(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates for the broker monitor: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without any
	}
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("certificates for the broker monitor: %s holds none (PEM)", file)
	}
	return roots, nil
}

// ChannelInfo returns how a channel stands. A channel that does not exist yet
// is no error.
func (m *Monitor) ChannelInfo(ctx context.Context, channel event.Subject) (ChannelInfo, error) {
	var page struct {
		Msgs     uint64 `json:"msgs"`
		FirstSeq uint64 `json:"first_seq"`
		LastSeq  uint64 `json:"last_seq"`
		Subs     []struct {
			Queue    string `json:"queue_name"` // durable:group
			LastSent uint64 `json:"last_sent"`
			Pending  uint64 `json:"pending_count"`
		} `json:"subscriptions"`
	}
	query := url.Values{"channel": {string(channel)}, "subs": {"1"}}
	found, err := m.get(ctx, "/streaming/channelsz?"+query.Encode(), &page)
	if err != nil || !found {
		return ChannelInfo{}, err
	}
	info := ChannelInfo{Messages: page.Msgs, FirstSeq: page.FirstSeq, LastSeq: page.LastSeq, groups: make(map[string]standing)}
	for _, s := range page.Subs {
		durable, group, _ := strings.Cut(s.Queue, ":")
		if durable != group { // not ours: ours are named alike
			continue
		}
		at := info.groups[group]
		info.groups[group] = standing{lastSent: max(at.lastSent, s.LastSent), pending: at.pending + s.Pending}
	}
	return info, nil
}

// StoreInfo is how the broker keeps its messages. A limit of 0 is none.
type StoreInfo struct {
	Type        string // FILE, MEMORY or SQL
	MaxMessages int64  // of a channel; what is older is dropped, read or not
	MaxBytes    int64
}

// Store returns how the broker keeps its messages.
func (m *Monitor) Store(ctx context.Context) (StoreInfo, error) {
	var page struct {
		Type   string `json:"type"`
		Limits struct {
			MaxMsgs  int64 `json:"max_msgs"`
			MaxBytes int64 `json:"max_bytes"`
		} `json:"limits"`
	}
	_, err := m.get(ctx, "/streaming/storez", &page)
	return StoreInfo{Type: page.Type, MaxMessages: page.Limits.MaxMsgs, MaxBytes: page.Limits.MaxBytes}, err
}

// Connected reports whether the broker knows a client of that id.
func (m *Monitor) Connected(ctx context.Context, clientID string) (bool, error) {
	return m.get(ctx, "/streaming/clientsz?"+url.Values{"client": {clientID}}.Encode(), &struct{}{})
}

// errNoServer: it is another server whose pages are read.
var errNoServer = errors.New("the broker monitor has no page of a streaming server: NATS_MONITOR_URL is where one has its monitoring pages, as http://nats-srv:8222")

// get reads a page of the server. What is not there is not found if the server
// says so, and an error if it is no streaming server.
func (m *Monitor) get(ctx context.Context, path string, page any) (found bool, err error) {
	if found, err = m.read(ctx, path, page); err != nil || found {
		return found, err
	}
	is, err := m.read(ctx, "/streaming/serverz", &struct{}{})
	if err == nil && !is {
		err = errNoServer
	}
	return false, err
}

func (m *Monitor) read(ctx context.Context, path string, page any) (found bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.base+path, nil)
	if err != nil {
		return false, err
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("read broker monitor: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return false, nil
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("read broker monitor %s: %s", path, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxPage)).Decode(page); err != nil {
		return false, fmt.Errorf("read broker monitor %s: %w", path, err)
	}
	return true, nil
}

// Watched is a queue group on a channel.
type Watched struct {
	Channel event.Subject
	Group   string
}

// LagOptions say what a Lag measures.
type LagOptions struct {
	Watched    []Watched     // all series there will ever be
	Every      time.Duration // between two looks; 0 means 5 s
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil registers nothing
}

// Lag keeps lockstep_broker_lag_messages: the backlog of queue groups as the
// broker sees it, also while none of their members runs. What the broker does
// not tell is NaN, not 0.
type Lag struct {
	monitor *Monitor
	opts    LagOptions
	lag     *prometheus.GaugeVec
	looked  prometheus.Gauge
}

// NewLag returns a measurement that begins with Run.
func NewLag(m *Monitor, o LagOptions) (*Lag, error) {
	if o.Every == 0 {
		o.Every = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Lag{monitor: m, opts: o,
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lockstep_broker_lag_messages",
			Help: "Messages of a channel that a queue group has not acknowledged yet, as the broker counts them; NaN while it cannot be asked.",
		}, []string{"channel", "group"}),
		looked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lockstep_broker_lag_last_success_timestamp_seconds",
			Help: "When the broker's lag was last read; 0 if never.",
		}),
	}
	l.unknown()
	if o.Registerer == nil {
		return l, nil
	}
	for _, c := range []prometheus.Collector{l.lag, l.looked} {
		if err := o.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the broker's lag: %w", err)
		}
	}
	return l, nil
}

// unknown says of every group that nobody knows.
func (l *Lag) unknown() {
	for _, w := range l.opts.Watched {
		l.lag.WithLabelValues(string(w.Channel), w.Group).Set(math.NaN())
	}
}

// Run looks at the broker until ctx ends, and then returns nil.
func (l *Lag) Run(ctx context.Context) error {
	tick := time.NewTicker(l.opts.Every)
	defer tick.Stop()
	defer l.monitor.client.CloseIdleConnections()
	blind := false
	for {
		err := l.look(ctx)
		if err != nil && ctx.Err() == nil {
			l.unknown()
			if !blind {
				l.opts.Log.WarnContext(ctx, "broker lag cannot be read", "err", err)
			}
		}
		blind = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *Lag) look(ctx context.Context) error {
	seen := make(map[event.Subject]ChannelInfo)
	for _, w := range l.opts.Watched {
		info, ok := seen[w.Channel]
		if !ok {
			var err error
			if info, err = l.monitor.ChannelInfo(ctx, w.Channel); err != nil {
				return err
			}
			seen[w.Channel] = info
		}
		l.lag.WithLabelValues(string(w.Channel), w.Group).Set(float64(info.Lag(w.Group)))
	}
	l.looked.SetToCurrentTime()
	return nil
}
