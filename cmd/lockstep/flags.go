package main

import (
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"lockstep/incident"
	"lockstep/internal/hosts"
	"lockstep/internal/session"
)

// The groups of flags that commands share. Required values are not marked for
// kong: everything that is missing is reported at once, by missing.

// opsFlags say where the operator's routes are served.
type opsFlags struct {
	OpsAddr     string `env:"OPS_ADDR" form:"address" default:"${ops_addr}" help:"Where /metrics, /healthz, /readyz and /ops are served; unset: :9464 with OPS_TOKEN, this machine's 9464 without."`
	MetricsAddr string `env:"METRICS_ADDR" form:"address" help:"Where /metrics, /healthz and /readyz are served as well, to anybody and without anything else; unset: on --ops-addr alone."`
	OpsHosts    string `env:"OPS_HOSTS" form:"names" help:"Names that requests to both may ask for, with commas, besides addresses, localhost and this host's own name."`
	OpsToken    string `env:"OPS_TOKEN" secret:"" form:"token" help:"What calls of the operator's routes must bear. Required if --ops-addr is open to other machines."`
}

// opsPort is where a service serves the operator's routes unless it is told.
const opsPort = "9464"

// chooseOps fills in where the operator's routes are served if nothing says
// so: open to other machines only with a token.
func chooseOps(parsed *kong.Context) {
	var addr, token *kong.Flag
	for _, f := range parsed.Flags() {
		switch f.Name {
		case "ops-addr":
			addr = f
		case "ops-token":
			token = f
		}
	}
	switch {
	case addr == nil || token == nil || addr.Target.String() != "":
	case token.Target.String() != "":
		addr.Target.SetString(":" + opsPort)
	default:
		addr.Target.SetString("127.0.0.1:" + opsPort)
	}
}

// hosts returns the names that requests may ask for.
func (f opsFlags) hosts() []string {
	var names []string
	if own, err := os.Hostname(); err == nil {
		names = append(names, own)
	}
	for name := range strings.SplitSeq(f.OpsHosts, ",") {
		names = append(names, strings.TrimSpace(name))
	}
	return names
}

func (f opsFlags) missing() missing {
	if f.OpsToken == "" && !hosts.Loopback(f.OpsAddr) {
		return missing{"OPS_TOKEN must be defined, because OPS_ADDR=" + f.OpsAddr + " is open to other machines; without both, the operator's routes are served to this machine only"}
	}
	return nil
}

// storeFlags say where a service keeps its data.
type storeFlags struct {
	MongoURI string `name:"mongo-uri" env:"MONGO_URI" secret:"" form:"mongo-uri" help:"MongoDB replica set. Unset: SQLite in the data directory."`
	DataDir  string `env:"DATA_DIR" form:"text" default:"${data_dir}" type:"path" help:"Where SQLite files and the embedded broker's messages are kept."`
}

func (f storeFlags) missing() missing {
	if f.MongoURI == "" && f.DataDir == "" {
		return missing{"MONGO_URI must be defined, or DATA_DIR must be defined"}
	}
	return nil
}

// natsFlags say which broker a service connects to, and as whom.
type natsFlags struct {
	NATSURL        string `name:"nats-url" env:"NATS_URL" secret:"" form:"nats-url" help:"nats://host:4222 or http://host:4222."`
	NATSClusterID  string `name:"nats-cluster-id" env:"NATS_CLUSTER_ID" form:"cluster" default:"${cluster_id}" help:"Cluster id of the broker."`
	NATSClientID   string `name:"nats-client-id" env:"NATS_CLIENT_ID" form:"text" help:"Who this process is to the broker: the pod's name."`
	NATSCAFile     string `name:"nats-ca-file" env:"NATS_CA_FILE" form:"text" help:"File with the certificates that the broker's must be signed by (PEM)."`
	NATSCertFile   string `name:"nats-cert-file" env:"NATS_CERT_FILE" form:"text" help:"File with this client's certificate (PEM)."`
	NATSKeyFile    string `name:"nats-key-file" env:"NATS_KEY_FILE" form:"text" help:"File with its key (PEM)."`
	NATSCredsFile  string `name:"nats-creds-file" env:"NATS_CREDS_FILE" form:"text" help:"File with a user's credentials, as nsc writes them."`
	NATSNKeyFile   string `name:"nats-nkey-file" env:"NATS_NKEY_FILE" form:"text" help:"File with the seed of a user's nkey."`
	NATSMonitorURL string `name:"nats-monitor-url" env:"NATS_MONITOR_URL" form:"url" help:"The broker's monitoring pages, where lag is read."`
}

// security returns the files by which this client and the broker know each other.
func (f natsFlags) security() session.Security {
	return session.Security{CA: f.NATSCAFile, Cert: f.NATSCertFile, Key: f.NATSKeyFile, Creds: f.NATSCredsFile, NKey: f.NATSNKeyFile}
}

func (f natsFlags) missing() missing {
	return undefined("NATS_URL", f.NATSURL, "NATS_CLUSTER_ID", f.NATSClusterID, "NATS_CLIENT_ID", f.NATSClientID)
}

// brokerFlags say where the embedded broker listens.
type brokerFlags struct {
	NATSListen  string `name:"nats-listen" env:"NATS_LISTEN" form:"address" default:"127.0.0.1:4222" help:"Where the embedded broker listens."`
	NATSMonitor string `name:"nats-monitor" env:"NATS_MONITOR" form:"address" default:"127.0.0.1:8222" help:"Where its monitoring pages are served."`

	NATSPassword string `name:"nats-password" env:"NATS_PASSWORD" secret:"" form:"text" help:"What clients of the embedded broker must bear, as nats://lockstep:PASSWORD@host:4222; unset: nothing."`
}

// listenerFlags tune the subscriptions.
type listenerFlags struct {
	AckWait         time.Duration `env:"ACK_WAIT" default:"5s" min:"1s" max:"10m" step:"1s" help:"How long the broker waits for an ack before it delivers again."`
	MaxInFlight     int           `env:"MAX_IN_FLIGHT" default:"1024" min:"1" max:"100000" help:"Unacknowledged messages per subscription."`
	HoldFor         time.Duration `env:"HOLD_FOR" default:"30s" min:"1s" max:"24h" help:"How long an early message waits for its predecessor before its record is repaired, or it is set aside."`
	CanonicalURL    string        `name:"canonical-url" env:"CANONICAL_URL" form:"url" help:"Ops address of the service that owns what is replicated here; gaps are mended from it."`
	CompareEvery    time.Duration `env:"COMPARE_EVERY" default:"10m" min:"5s" max:"24h" help:"How often all is compared with the owner and mended, if CANONICAL_URL is set."`
	QuarantineLimit int           `env:"QUARANTINE_LIMIT" default:"1000000" min:"1000" max:"100000000" help:"Messages of a group in quarantine; past it nothing more is set aside."`
	QuarantineBytes int64         `env:"QUARANTINE_BYTES" default:"8589934592" min:"1048576" max:"1099511627776" help:"Bytes of their payloads; past it nothing more is set aside."`
}

// stopFlags say how the process ends.
type stopFlags struct {
	DrainDelay time.Duration `env:"DRAIN_DELAY" default:"0s" min:"0s" max:"5m" help:"How long requests are still taken after a stop has made the process not ready."`
}

// ticketFlags hold the rules of tickets.
type ticketFlags struct {
	TicketDelete string `env:"TICKET_DELETE" oneof:"on,off" default:"${ticket_delete}" help:"on: DELETE removes a ticket, which no Node service hears of. off: 404, as the Node service."`
}

func (f ticketFlags) deletes() bool { return f.TicketDelete == "on" }

// orderFlags hold the rules of orders.
type orderFlags struct {
	OrderWindow time.Duration `env:"ORDER_WINDOW" default:"15m" min:"1s" max:"720h" help:"A reservation expires after it; unset: EXPIRATION_WINDOW_SECONDS, as for the Node service."`
	VersionStep int64         `env:"VERSION_STEP" default:"1" min:"1" max:"1000000000" help:"Distance between two versions of a ticket, for publishers that do not count in ones."`
}

// notifyFlags say who is told of incidents.
type notifyFlags struct {
	NotifyURL       string `name:"notify-url" env:"NOTIFY_URL" secret:"" form:"webhook" help:"Webhook that is told of incidents: a chat's, or one of your own."`
	NotifySecret    string `env:"NOTIFY_SECRET" secret:"" form:"text" help:"Key that signs what is sent there (HMAC-SHA256)."`
	QuarantineAlert int    `env:"QUARANTINE_ALERT" default:"100" min:"1" max:"1000000000" help:"More messages in quarantine are an incident."`
}

// notifier returns the webhook; nil if nobody is to be told.
func (f notifyFlags) notifier() (incident.Notifier, error) {
	if f.NotifyURL == "" {
		return nil, nil
	}
	w, err := incident.NewWebhook(f.NotifyURL, f.NotifySecret)
	if err != nil {
		return nil, &usageError{"NOTIFY_URL " + err.Error()}
	}
	return w, nil
}

// missing lists what a command cannot do without, one sentence each.
type missing []string

// missing lets a list of names stand beside groups of flags.
func (m missing) missing() missing { return m }

// undefined returns the names whose value is empty, of name and value in
// turns.
func undefined(namesAndValues ...string) missing {
	var m missing
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] == "" {
			m = append(m, namesAndValues[i]+" must be defined")
		}
	}
	return m
}

// needing is a command that cannot do without some settings.
type needing interface{ missing() missing }

// needs lists everything missing of the groups.
func needs(groups ...needing) missing {
	var all missing
	for _, g := range groups {
		all = append(all, g.missing()...)
	}
	return all
}

// complaint returns an error of the sentences; nil if there is none.
func complaint(sentences []string) error {
	if len(sentences) == 0 {
		return nil
	}
	return &usageError{strings.Join(sentences, "\n")}
}
