package listeners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"lockstep/event"
	"lockstep/replica"
)

// play is a group of members over one store and one broker, all in memory and
// driven by chance: deliveries, redeliveries and repeated messages in any
// order, failing stores, lost acks, wrong hints, restarts, early messages set
// aside. Lanes, workers and quarantine are the real ones.
type play struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Time
	calm  bool // nothing goes wrong any more
	rows  map[string]int64
	open  map[string]bool // keys of the second kind that may be applied: they wait for no version
	aside *memoryQuarantine

	sent    []string // payloads on the channel; a sequence is an index + 1
	acked   map[uint64]bool
	members []*generation
}

const (
	versioned   = event.Subject("versioned")
	unversioned = event.Subject("unversioned")
)

var errStore = errors.New("the store failed")

func (p *play) chance(part float64) bool { return !p.calm && p.rng.Float64() < part }

// Subjects implements Handler.
func (p *play) Subjects() []event.Subject { return []event.Subject{versioned, unversioned} }

// Decode implements Handler: "key version", "!key" waits for no version.
func (p *play) Decode(_ event.Subject, payload []byte) (Item, error) {
	key, number, ok := strings.Cut(string(payload), " ")
	if !ok {
		return Item{}, fmt.Errorf("%w: %s", event.ErrInvalid, payload)
	}
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return Item{}, fmt.Errorf("%w: %w", event.ErrInvalid, err)
	}
	item := Item{Key: key, Version: version, Predecessor: version - 1}
	if strings.HasPrefix(key, "!") {
		item.Predecessor = event.None
	}
	return item, nil
}

// Handle implements Handler, by the version rule. When it fails, a part may
// have been written.
func (p *play) Handle(_ context.Context, items []Item) []Verdict {
	fails := p.chance(0.1)
	verdicts := make([]Verdict, len(items))
	for i, item := range items {
		switch {
		case fails && p.chance(0.5), p.chance(0.02):
			verdicts[i].Err = errStore
			continue
		case strings.HasPrefix(item.Key, "!"):
			verdicts[i].Outcome = p.end(item)
		default:
			stored, ok := p.rows[item.Key]
			if !ok {
				stored = event.None
			}
			verdicts[i].Outcome = replica.Decide(stored, item.Predecessor)
			if verdicts[i].Outcome == event.Applied {
				p.rows[item.Key] = item.Version
			}
		}
		if fails {
			verdicts[i] = Verdict{Err: errStore}
		}
	}
	return verdicts
}

func (p *play) end(item Item) event.Outcome {
	if _, ended := p.rows[item.Key]; ended {
		return event.Duplicate
	}
	if !p.open[item.Key] {
		return event.Early
	}
	p.rows[item.Key] = item.Version
	return event.Applied
}

func (p *play) newMember() *generation {
	l := &Listener{
		handler: &guard{Handler: p, log: slog.New(slog.DiscardHandler)}, log: slog.New(slog.DiscardHandler), now: func() time.Time { return p.now },
		opts:     Options{Group: "group", MaxInFlight: 16, Lanes: 2}.withDefaults(),
		counters: map[event.Subject]*subjectMetrics{}, unstored: map[event.Subject]*unstored{},
	}
	for _, s := range p.Subjects() {
		l.unstored[s] = &unstored{}
		l.counters[s] = l.opts.Metrics.of(s)
	}
	l.quarantine = newQuarantine(p.aside, l.opts)
	g := &generation{Listener: l, repairs: make(chan struct{}, 1)}
	for _, s := range p.Subjects() {
		g.channels = append(g.channels, &channel{subject: s, count: l.counters[s], window: newWindow(l.opts.MaxInFlight, p.now)})
	}
	for range l.opts.Lanes {
		g.lanes = append(g.lanes, newLane(time.Second))
	}
	g.hints = newHints(nil, "group", "member", l.opts.Metrics, g.reached, g.stored)
	return g
}

// receipt is the ack handle of one delivery.
type receipt struct {
	p        *play
	sequence uint64
}

// Ack implements acker. What is acknowledged must be durable.
func (r receipt) Ack() error {
	payload := r.p.sent[r.sequence-1]
	item, err := r.p.Decode(versioned, []byte(payload))
	row, ok := r.p.rows[item.Key]
	durable := err == nil && ok && row >= item.Version || r.p.aside.has(payload)
	if !durable {
		r.p.t.Errorf("%q was acknowledged and is not durable", payload)
	}
	if r.p.chance(0.1) {
		return errors.New("the ack was lost")
	}
	r.p.acked[r.sequence] = true
	return nil
}

// deliver hands message i to a member.
func (p *play) deliver(g *generation, i int) {
	payload := p.sent[i]
	c := g.channels[0]
	if strings.HasPrefix(payload, "!") {
		c = g.channels[1]
	}
	m := &stan.Msg{MsgProto: pb.MsgProto{Sequence: uint64(i + 1), Data: []byte(payload)}}
	d := g.decode(c, m)
	d.ack = receipt{p, m.Sequence}
	g.lane(d.key).add(d, c.room(d, g.opts.MaxInFlight))
}

// work lets one lane of a member handle what it has.
func (p *play) work(ctx context.Context, g *generation, l *lane) {
	w := &worker{generation: g, lane: l}
	w.setAside(ctx)
	w.lookBehind(ctx)
	if batch := l.next(p.now, 1+p.rng.IntN(8), true); len(batch) > 0 {
		w.process(ctx, batch)
	}
}

// step does one thing by chance.
func (p *play) step(ctx context.Context) {
	at := p.rng.IntN(len(p.members))
	g := p.members[at]
	l := g.lanes[p.rng.IntN(len(g.lanes))]
	i := p.rng.IntN(len(p.sent))
	switch n := p.rng.IntN(100); {
	case n < 45:
		if !p.acked[uint64(i+1)] {
			p.deliver(g, i)
		}
	case n < 80:
		p.work(ctx, g, l)
	case n < 85:
		p.now = p.now.Add(time.Duration(p.rng.IntN(300)) * time.Millisecond)
	case n < 92:
		item, _ := p.Decode(versioned, []byte(p.sent[i]))
		g.reached(item.Key, p.rng.Int64N(10)) // true or not
		g.stored(item.Key)
	case n < 94:
		for _, key := range l.stuck(p.now, 1) {
			l.unrepaired(key, "in this play")
		}
	case n < 95:
		l.relieve(g.channels[0], p.rng.Float64())
	case n < 97:
		_, _ = g.sweepPage(ctx, "") // what fails is tried by the next one
	case n < 98:
		p.members[at] = p.newMember()
	default:
		p.open["!"+strconv.Itoa(p.rng.IntN(3))] = true
	}
}

// end lets everything come to rest without further trouble.
func (p *play) rest(ctx context.Context) {
	p.calm = true
	for n := range 3 {
		p.open["!"+strconv.Itoa(n)] = true
	}
	for range 200 {
		for i := range p.sent {
			if !p.acked[uint64(i+1)] {
				p.deliver(p.members[p.rng.IntN(len(p.members))], i)
			}
		}
		for _, g := range p.members {
			for _, l := range g.lanes {
				p.work(ctx, g, l)
			}
			if _, err := g.sweepPage(ctx, ""); err != nil {
				p.t.Fatalf("sweep: %v", err)
			}
		}
		p.now = p.now.Add(time.Second)
		if len(p.acked) == len(p.sent) && p.idle() {
			return
		}
	}
	p.t.Errorf("%d of %d messages acknowledged at rest", len(p.acked), len(p.sent))
}

func (p *play) idle() bool {
	for _, g := range p.members {
		for _, l := range g.lanes {
			if len(l.known) > 0 || len(l.waiting) > 0 {
				return false
			}
		}
	}
	return true
}

func TestAnyHistoryEndsInTheCanonicalStateAndNothingIsAcknowledgedBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	histories := 3000
	if os.Getenv("LOCKSTEP_SOAK") != "" {
		histories *= 20
	}
	first := rand.Uint64()
	for n := range uint64(histories) {
		if playHistory(t, first+n); t.Failed() {
			t.Fatalf("seed %d", first+n)
		}
	}
}

func playHistory(t *testing.T, seed uint64) {
	p := &play{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(1e9, 0), rows: map[string]int64{}, open: map[string]bool{},
		aside: &memoryQuarantine{entries: map[string]Quarantined{}}, acked: map[uint64]bool{},
	}
	p.aside.play = p
	want := map[string]int64{}
	for k := range 1 + p.rng.IntN(4) {
		key, last := fmt.Sprintf("k%d", k), p.rng.IntN(12)
		for v := range last + 1 {
			p.sent = append(p.sent, fmt.Sprintf("%s %d", key, v))
		}
		want[key] = int64(last)
	}
	for k := range p.rng.IntN(3) {
		p.sent = append(p.sent, fmt.Sprintf("!%d 0", k))
		want[fmt.Sprintf("!%d", k)] = 0
	}
	p.sent = append(p.sent, "poison")
	for range p.rng.IntN(10) {
		p.sent = append(p.sent, p.sent[p.rng.IntN(len(p.sent))])
	}
	p.rng.Shuffle(len(p.sent), func(i, j int) { p.sent[i], p.sent[j] = p.sent[j], p.sent[i] })
	for range 1 + p.rng.IntN(5) {
		p.members = append(p.members, p.newMember())
	}
	for range 10 * len(p.sent) {
		p.step(t.Context())
	}
	p.rest(t.Context())
	if !maps.Equal(p.rows, want) {
		t.Errorf("rows %v, want %v", p.rows, want)
	}
	if n := len(p.aside.entries); n != 1 {
		t.Errorf("%d entries in quarantine, want the poison alone", n)
	}
	for _, g := range p.members {
		for _, c := range g.channels {
			if c.unacked.Load() != 0 || c.size.Load() != 0 || c.waiting.Load() != 0 || c.bytes.Load() != 0 {
				t.Errorf("counters of %s at rest: %d unacknowledged, %d held, %d bytes of them; want none",
					c.subject, c.unacked.Load(), c.waiting.Load(), c.bytes.Load())
			}
		}
	}
}
