package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"lockstep/api"
	"lockstep/event"
	"lockstep/internal/session"
	"lockstep/listeners"
	"lockstep/store/mongodb"
)

// doctorCmd checks everything that a service needs, without starting it.
type doctorCmd struct {
	opsFlags   `set:"ops_addr="`
	storeFlags `set:"data_dir="`
	natsFlags  `set:"cluster_id="`
	jwtFlags
	listenerFlags
	strictFlag
	TicketsAddr string `env:"TICKETS_ADDR" form:"address" help:"Where the tickets API will be served, if it will."`
	OrdersAddr  string `env:"ORDERS_ADDR" form:"address" help:"Where the orders API will be served, if it will."`
}

const (
	// examineWithin bounds each examination.
	examineWithin = 10 * time.Second

	// probeChannel is where the doctor's message goes. Nobody listens there.
	probeChannel = "lockstep:doctor"
)

// examination is one thing the doctor looks at. It returns what was found, or
// why it is not well and what to do.
type examination struct {
	name string
	look func(context.Context) (string, error)
}

// warning is a finding that keeps no service from working.
type warning struct{ error }

// errUnwell: the doctor found something that keeps a service from working.
var errUnwell = errors.New("something has to be mended first, see above")

// Run prints one line for each examination.
func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	well, out := true, s.redacted()
	for _, e := range c.examinations() {
		limited, cancel := context.WithTimeout(ctx, examineWithin)
		found, err := e.look(limited)
		cancel()
		var w warning
		switch {
		case err == nil:
			fmt.Fprintf(out, "✓ %-14s %s\n", e.name, found)
		case errors.As(err, &w):
			fmt.Fprintf(out, "! %-14s %s\n", e.name, oneLine(err))
		default:
			well = false
			fmt.Fprintf(out, "✗ %-14s %s\n", e.name, oneLine(err))
		}
	}
	if !well {
		return errUnwell
	}
	return nil
}

// oneLine puts an error that has several lines into one.
func oneLine(err error) string { return printable(strings.ReplaceAll(err.Error(), "\n", "; ")) }

func (c *doctorCmd) examinations() []examination {
	all := []examination{
		{"settings", c.lookAtSettings},
		{"secrets", c.lookAtSecrets},
		{"memory", c.lookAtMemory},
	}
	if c.MongoURI != "" {
		all = append(all, examination{"MongoDB", c.lookAtMongoDB})
	} else {
		all = append(all, examination{"data directory", c.lookAtDataDir})
	}
	all = append(all, examination{"addresses", c.lookAtAddresses}, examination{"broker", c.lookAtBroker},
		examination{"client id", c.lookAtClientID}, examination{"broker's store", c.lookAtMonitor})
	return append(all, examination{"owner", c.lookAtOwner})
}

func (c *doctorCmd) lookAtSettings(context.Context) (string, error) {
	return "nothing is missing", complaint(needs(c.storeFlags, c.natsFlags, c.jwtFlags, c.opsFlags))
}

func (c *doctorCmd) lookAtSecrets(context.Context) (string, error) {
	if _, err := c.keys(); err != nil {
		return "", err
	}
	if c.JWTKey+c.JWTKeysFile == "" {
		return "", errors.New("JWT_KEY must be defined")
	}
	weak := weakOf(c.jwtFlags, c.opsFlags, c.natsFlags, c.storeFlags)
	switch {
	case len(weak) == 0:
		return "none is short or a known sample", nil
	case c.Strict:
		return "", errors.New(strings.Join(weak, "; "))
	}
	return "", warning{errors.New(strings.Join(weak, "; "))}
}

func (c *doctorCmd) lookAtMongoDB(ctx context.Context) (string, error) {
	if err := mongodb.Look(ctx, c.MongoURI, mongodb.Options{AppName: "lockstep-doctor", Log: slog.New(slog.DiscardHandler)}); err != nil {
		return "", err
	}
	return "a replica set that can be written", nil
}

func (c *doctorCmd) lookAtDataDir(context.Context) (string, error) {
	if c.DataDir == "" {
		return "", errors.New("MONGO_URI must be defined, or DATA_DIR must be defined")
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return "", fmt.Errorf("DATA_DIR cannot be made: %w", err)
	}
	f, err := os.CreateTemp(c.DataDir, "doctor")
	if err != nil {
		return "", fmt.Errorf("DATA_DIR cannot be written: %w", err)
	}
	return c.DataDir + " can be written", errors.Join(f.Sync(), f.Close(), os.Remove(f.Name()))
}

// lookAtAddresses tries to listen where the service will, everywhere at once.
func (c *doctorCmd) lookAtAddresses(ctx context.Context) (string, error) {
	var p program
	defer p.abandon()
	var taken []string
	for _, a := range []struct{ setting, address string }{
		{"OPS_ADDR", c.OpsAddr}, {"METRICS_ADDR", c.MetricsAddr}, {"TICKETS_ADDR", c.TicketsAddr}, {"ORDERS_ADDR", c.OrdersAddr},
	} {
		if a.address == "" {
			continue
		}
		if _, err := p.take(ctx, a.setting, a.address); err != nil {
			taken = append(taken, err.Error())
		}
	}
	if len(taken) > 0 {
		return "", warning{fmt.Errorf("%s; unless it is this service that runs there", strings.Join(taken, "; "))}
	}
	return "can be listened on", nil
}

// lookAtClientID asks the broker whether a client has the id.
func (c *doctorCmd) lookAtClientID(ctx context.Context) (string, error) {
	if c.NATSMonitorURL == "" {
		return "", warning{errors.New("NATS_MONITOR_URL is not set: whether NATS_CLIENT_ID is taken is not known")}
	}
	m, err := listeners.NewMonitor(c.NATSMonitorURL, c.NATSCAFile)
	if err != nil {
		return "", err
	}
	taken, err := m.Connected(ctx, c.NATSClientID)
	switch {
	case err != nil:
		return "", err
	case taken:
		return "", warning{fmt.Errorf("NATS_CLIENT_ID %s is taken: if it is not this service that runs, choose another one", c.NATSClientID)}
	}
	return c.NATSClientID + " is free", nil
}

// mayPublish returns which services the client may publish for.
func (c *doctorCmd) mayPublish(ctx context.Context, conn *session.Conn) (services []string, err error) {
	var refusals []error
	for name, subjects := range map[string][]event.Subject{"tickets": event.TicketSubjects(), "orders": event.OrderSubjects()} {
		var refused []error
		for _, subject := range subjects {
			refused = append(refused, conn.MayPublish(ctx, c.NATSClusterID, string(subject)))
		}
		if err := errors.Join(refused...); err != nil {
			refusals = append(refusals, err)
			continue
		}
		services = append(services, name)
	}
	slices.Sort(services)
	if len(services) == 0 {
		return nil, errors.Join(refusals...)
	}
	return services, nil
}

// lookAtBroker connects, publishes and waits for the confirmation, which needs
// more permissions than the publish itself.
func (c *doctorCmd) lookAtBroker(ctx context.Context) (string, error) {
	s, err := session.New(session.Options{
		URL: c.NATSURL, ClusterID: c.NATSClusterID, ClientID: "doctor-" + c.NATSClientID, Security: c.security(), PubAckWait: examineWithin / 4,
	})
	if err != nil {
		return "", err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	defer func() { stop(); <-ended }()
	if _, err := s.Conn(ctx); err != nil {
		return "", fmt.Errorf("no connection with NATS_URL; is the broker there, and is that where it takes clients? %w", cmp.Or(s.State().Err, err))
	}
	confirmed := make(chan error, 1)
	conn := s.Current()
	if conn == nil {
		return "", errors.New("the connection was lost again")
	}
	services, err := c.mayPublish(ctx, conn)
	if err != nil {
		return "", err
	}
	if err := conn.MayTakePart(ctx, c.NATSClusterID); err != nil {
		return "", err
	}
	may := "lets publish what the services of " + strings.Join(services, " and ") + " do"
	if conn.MayPublish(ctx, c.NATSClusterID, probeChannel) != nil {
		return may + ", and hear of confirmations; none was tried, " + probeChannel + " is not for this client", nil
	}
	conn.PublishAsync(probeChannel, []byte("{}"), func(err error) { confirmed <- err })
	select {
	case err := <-confirmed:
		if err != nil {
			return "", fmt.Errorf("a message was not confirmed: may this client subscribe to _STAN.acks.> and _INBOX.>? %w", err)
		}
		return "takes and confirms messages, and " + may, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *doctorCmd) lookAtMonitor(ctx context.Context) (string, error) {
	if c.NATSMonitorURL == "" {
		return "", warning{errors.New("NATS_MONITOR_URL is not set: lag is not measured, and whether the broker keeps its messages is not known")}
	}
	m, err := listeners.NewMonitor(c.NATSMonitorURL, c.NATSCAFile)
	if err != nil {
		return "", err
	}
	store, err := m.Store(ctx)
	switch {
	case err != nil:
		return "", err
	case store.Type != "FILE" && store.Type != "SQL":
		return "", warning{fmt.Errorf("the broker keeps messages in %s: a restart loses what nobody has read; start it with -st FILE", store.Type)}
	case store.MaxMessages > 0 || store.MaxBytes > 0:
		return "", warning{fmt.Errorf("the broker drops the oldest messages, read or not, beyond %d messages or %d bytes a channel", store.MaxMessages, store.MaxBytes)}
	}
	return "keeps its messages in files, without a limit", nil
}

func (c *doctorCmd) lookAtOwner(ctx context.Context) (string, error) {
	if c.CanonicalURL == "" {
		return "", warning{errors.New("CANONICAL_URL is not set: gaps and losses cannot be repaired from the owner")}
	}
	o, err := api.NewOwner(c.CanonicalURL, c.OpsToken)
	if err != nil {
		return "", err
	}
	_, tickets := o.Page(ctx, "", 1)
	_, orders := o.Orders().Page(ctx, "", 1)
	if tickets != nil && orders != nil {
		return "", warning{fmt.Errorf("CANONICAL_URL does not answer as an owner's ops port: %w", tickets)}
	}
	return "can be asked for what is missing", nil
}
