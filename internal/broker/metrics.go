package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	stand "github.com/nats-io/nats-streaming-server/server"
	"github.com/prometheus/client_golang/prometheus"
)

// Group is a durable queue group of a channel whose durable has its name.
type Group struct{ Channel, Name string }

// other stands for every channel that no Group names: who connects may make
// channels, and a label must not grow by that.
const other = "other"

// Check returns why the broker does not work, or nil.
func (b *Broker) Check(context.Context) error {
	if !b.nats.Running() {
		return errors.New("the core server has ended")
	}
	if state := b.stan.State(); state != stand.Standalone {
		return fmt.Errorf("the streaming server is in state %s: %v", state, b.stan.LastError())
	}
	return b.inPlace()
}

// Collector returns metrics of the broker, of its channels and of the groups
// that are named. They are read when somebody looks; what cannot be read is NaN.
func (b *Broker) Collector(groups []Group) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("lockstep_broker_"+name, help, labels, nil)
	}
	return &collector{
		b: b, groups: groups,
		messages: desc("channel_messages", "Messages that a channel holds; channel other stands for all that are not the services'.", "channel"),
		bytes:    desc("channel_bytes", "Bytes of them.", "channel"),
		last:     desc("channel_last_sequence", "Sequence of a channel's last message, of channel other the sum; 0 if there was none, and smaller than before once the store began anew.", "channel"),
		unacked:  desc("group_unacknowledged_messages", "Messages that were sent to members of a queue group and are not acknowledged.", "channel", "group"),
		unsent:   desc("group_unsent_messages", "Messages that were not sent to any member of it yet; all of them for a group that never joined.", "channel", "group"),
		members:  desc("group_members", "Members of it that are connected.", "channel", "group"),
		clients:  desc("clients", "Clients that are connected."),
		store:    desc("store_bytes", "Bytes of the store's files; NaN if messages are kept in memory, or the directory is not in its place."),
		free:     desc("disk_free_bytes", "Bytes that are free on the disk of the store; NaN if messages are kept in memory, or the directory is not in its place."),
	}
}

type collector struct {
	b      *Broker
	groups []Group

	messages, bytes, last    *prometheus.Desc
	unacked, unsent, members *prometheus.Desc
	clients, store, free     *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.messages, c.bytes, c.last, c.unacked, c.unsent, c.members, c.clients, c.store, c.free} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	show := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	channels, err := c.b.channels()
	known := func(v float64) float64 {
		if err != nil {
			return math.NaN()
		}
		return v
	}
	for name, sum := range c.sums(channels) {
		show(c.messages, known(sum.messages), name)
		show(c.bytes, known(sum.bytes), name)
		show(c.last, known(sum.last), name)
	}
	for _, g := range c.groups {
		at := channels[g.Channel].standing(g.Name)
		show(c.unacked, known(at.unacked), g.Channel, g.Name)
		show(c.unsent, known(at.unsent), g.Channel, g.Name)
		show(c.members, known(at.members), g.Channel, g.Name)
	}
	show(c.clients, c.b.clients())
	show(c.store, c.b.stored())
	show(c.free, c.b.free())
}

// sum is what channels hold together.
type sum struct{ messages, bytes, last float64 }

// sums returns what the channels of the groups hold, and all others.
func (c *collector) sums(channels map[string]channel) map[string]sum {
	sums := map[string]sum{other: {}}
	for _, g := range c.groups {
		sums[g.Channel] = sum{}
	}
	for _, ch := range channels {
		name := ch.Name
		if _, ok := sums[name]; !ok {
			name = other
		}
		s := sums[name]
		sums[name] = sum{s.messages + float64(ch.Msgs), s.bytes + float64(ch.Bytes), s.last + float64(ch.LastSeq)}
	}
	return sums
}

// channel is a channel as the server describes it.
type channel stand.Channelz

// standing is where a queue group stands.
type standing struct{ unacked, unsent, members float64 }

func (c channel) standing(group string) standing {
	at, clients := standing{}, map[string]bool{}
	joined, passed := false, max(c.FirstSeq, 1)-1
	for _, s := range c.Subscriptions {
		if s.QueueName != group+":"+group {
			continue
		}
		joined = true
		passed = max(passed, s.LastSent)
		at.unacked += float64(s.PendingCount)
		if !s.IsOffline {
			clients[s.ClientID] = true // which may have several subscriptions
		}
	}
	at.members = float64(len(clients))
	if !joined {
		return standing{unsent: float64(c.Msgs)}
	}
	at.unsent = float64(c.LastSeq - min(passed, c.LastSeq))
	return at
}

// channels returns all channels with their subscriptions, by name.
func (b *Broker) channels() (map[string]channel, error) {
	all := map[string]channel{}
	for {
		var page struct {
			Total    int       `json:"total"`
			Channels []channel `json:"channels"`
		}
		err := ask(b.stan.HandleChannelsz, stand.ChannelsPath+"?subs=1&offset="+strconv.Itoa(len(all)), &page)
		if err != nil {
			return nil, err
		}
		for _, c := range page.Channels {
			all[c.Name] = c
		}
		if len(page.Channels) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}

// clients returns how many clients are connected.
func (b *Broker) clients() float64 {
	var page struct {
		Clients int `json:"clients"`
	}
	if ask(b.stan.HandleServerz, stand.ServerPath, &page) != nil {
		return math.NaN()
	}
	return float64(page.Clients)
}

// stored returns how large the files of the store are.
func (b *Broker) stored() float64 {
	if b.opts.StoreDir == "" || b.inPlace() != nil {
		return math.NaN()
	}
	var size int64
	err := filepath.WalkDir(b.opts.StoreDir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				size += info.Size()
			}
		}
		if errors.Is(err, os.ErrNotExist) { // removed since the directory was read
			return nil
		}
		return err
	})
	if err != nil {
		return math.NaN()
	}
	return float64(size)
}

// free returns how much of the store's disk is free.
func (b *Broker) free() float64 {
	if b.opts.StoreDir == "" || b.inPlace() != nil {
		return math.NaN()
	}
	free, err := diskFree(b.opts.StoreDir)
	if err != nil {
		return math.NaN()
	}
	return free
}

// ask has the server answer one of its monitoring pages, which nothing interrupts:
// a scrape has no context to give.
func ask(handle http.HandlerFunc, path string, page any) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	a := &answer{header: http.Header{}}
	handle(a, r)
	if a.status != 0 && a.status != http.StatusOK {
		return fmt.Errorf("%s: %s", path, strings.TrimSpace(a.body.String()))
	}
	return json.Unmarshal(a.body.Bytes(), page)
}

// answer is what a page says, in memory.
type answer struct {
	header http.Header
	status int // 0 until it is set
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
