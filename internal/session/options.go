package session

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say which broker to connect to, and as whom. URL, ClusterID and
// ClientID are required.
type Options struct {
	URL        string // nats://host:port or http://host:port; several with commas
	ClusterID  string
	ClientID   string // the pod's name; characters the broker refuses become '-'
	Security   Security
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil registers nothing

	// A silent broker is noticed after PingInterval × (PingsOut + 1). The
	// interval counts in whole seconds, PingsOut is 2 at least. 0 means 2 s
	// and 5, twelve seconds in all; the library's own defaults take seven
	// minutes.
	PingInterval time.Duration
	PingsOut     int

	ConnectWait time.Duration // for the broker's answer to a connect, subscribe or close; 0 means 5 s
	PubAckWait  time.Duration // for the confirmation of a publish; 0 means 5 s
	ClashWait   time.Duration // how long a taken client id is asked for before a suffix is put to it; 0 means 15 s
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PingInterval == 0 {
		o.PingInterval = 2 * time.Second
	}
	if o.PingsOut == 0 {
		o.PingsOut = 5
	}
	if o.ConnectWait == 0 {
		o.ConnectWait = 5 * time.Second
	}
	if o.PubAckWait == 0 {
		o.PubAckWait = 5 * time.Second
	}
	if o.ClashWait == 0 {
		o.ClashWait = 15 * time.Second
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	if o.ClusterID == "" {
		errs = append(errs, errors.New("the broker session needs a cluster id"))
	}
	if o.ClientID == "" {
		errs = append(errs, errors.New("the broker session needs a client id"))
	}
	if o.PingInterval < time.Second || o.PingsOut < 2 {
		errs = append(errs, errors.New("pings go out once a second at most, and two must be unanswered at least"))
	}
	if _, err := natsURL(o.URL); err != nil {
		errs = append(errs, err)
	}
	if err := o.Security.validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// natsURL returns raw, one address or several with commas, as the client
// library wants it. The services of the bus are commonly given http://host:4222.
func natsURL(raw string) (string, error) {
	var all []string
	for one := range strings.SplitSeq(raw, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") { // host:port, as the Node client takes it
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil {
			return "", errors.New("the broker url cannot be read") // the cause would repeat a password
		}
		switch u.Scheme {
		case "http":
			u.Scheme = "nats"
		case "https":
			u.Scheme = "tls"
		case "nats", "tls":
		default:
			return "", fmt.Errorf("broker url %q: want nats://host:port or http://host:port", anonymous(u))
		}
		if u.Hostname() == "" {
			return "", fmt.Errorf("broker url %q names no host", anonymous(u))
		}
		all = append(all, u.String())
	}
	return strings.Join(all, ","), nil
}

// redacted returns addresses as natsURL makes them for people: a name may be a
// token, so nothing before the @ is shown.
func redacted(urls string) string {
	var all []string
	for one := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(one); err == nil {
			all = append(all, anonymous(u))
		}
	}
	return strings.Join(all, ",")
}

func anonymous(u *url.URL) string { return u.Scheme + "://" + u.Host }

var refused = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// clientID returns name as the broker takes it: letters, digits, '-' and '_'.
func clientID(name string) string { return refused.ReplaceAllString(name, "-") }
