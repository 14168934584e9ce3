package listeners

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"lockstep/event"
)

const (
	// announceEvery is how often a member repeats that a key waits, and
	// wantedFor how long its peers remember it.
	announceEvery = time.Second
	wantedFor     = 3 * announceEvery

	// maxWanted bounds how many keys of peers are remembered, and maxHints how
	// many keys one message names. Whoever is left out looks at the store.
	maxWanted = 16 << 10
	maxHints  = 256
)

// hint is what members of a group tell each other over core NATS. It may get
// lost and it may be wrong: it is a reason to look at the store or to read the
// channel, nothing more.
type hint struct {
	Member  string           `json:"member"`
	Wanted  []want           `json:"wanted,omitempty"`  // keys that wait here
	Reached map[string]int64 `json:"reached,omitempty"` // wanted keys that got on here, with their version
}

// want says that a key waits for something.
type want struct {
	Key      string        `json:"key"`
	Subject  event.Subject `json:"subject"`  // of the first message that waits
	Sequence uint64        `json:"sequence"` // of the same
	Waiting  int           `json:"waiting"`  // messages of the key
}

// peers is what is known of a key that waits elsewhere.
type peers struct {
	until  time.Time // believed until then
	from   uint64    // lowest sequence that waits
	hotFor string    // lowest name of a member the key is hot for; "" if it is for none
}

// hints is a member's side of that talk.
type hints struct {
	member  string
	subject string
	nc      *nats.Conn
	metrics *Metrics
	reached func(key string, version int64) // a peer says so

	mu     sync.Mutex
	wanted map[string]peers
}

func newHints(nc *nats.Conn, group, member string, m *Metrics, reached func(string, int64)) *hints {
	return &hints{
		member: member, subject: "lockstep.hint." + group, nc: nc, metrics: m, reached: reached,
		wanted: map[string]peers{},
	}
}

func (h *hints) subscribe() (*nats.Subscription, error) {
	return h.nc.Subscribe(h.subject, func(m *nats.Msg) { h.hear(m.Data, time.Now()) })
}

func (h *hints) hear(data []byte, now time.Time) {
	var said hint
	if err := json.Unmarshal(data, &said); err != nil || said.Member == h.member {
		return
	}
	h.metrics.hints.WithLabelValues("received").Inc()
	if len(said.Wanted) > 0 {
		h.remember(said, now)
	}
	for key, version := range said.Reached {
		h.reached(key, version)
	}
}

func (h *hints) remember(said hint, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range said.Wanted {
		p, known := h.wanted[w.Key]
		if !known && len(h.wanted) >= maxWanted {
			continue
		}
		if now.After(p.until) {
			p = peers{from: w.Sequence}
		}
		p.until, p.from = now.Add(wantedFor), min(p.from, w.Sequence)
		if w.Waiting >= hotKey && (p.hotFor == "" || said.Member < p.hotFor) {
			p.hotFor = said.Member
		}
		h.wanted[w.Key] = p
	}
	if len(h.wanted) < maxWanted {
		return
	}
	for key, p := range h.wanted {
		if now.After(p.until) {
			delete(h.wanted, key)
		}
	}
}

// contended reports whether peers wait for the same key and this member is the
// one to read the channel, and from where.
func (h *hints) contended(w want, now time.Time) (from uint64, ours bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.wanted[w.Key]
	if !ok || now.After(p.until) || p.hotFor != "" && p.hotFor < h.member {
		return 0, false
	}
	return min(p.from, w.Sequence), true
}

// tell tells the group which keys wait here, and which of those that wait
// elsewhere got on here. Most batches have nothing to tell.
func (h *hints) tell(advanced map[string]int64, wanted []want, now time.Time) {
	said := hint{Member: h.member, Wanted: wanted, Reached: h.useful(advanced, now)}
	for len(said.Wanted) > maxHints {
		h.send(hint{Member: h.member, Wanted: said.Wanted[:maxHints]})
		said.Wanted = said.Wanted[maxHints:]
	}
	if len(said.Wanted) > 0 || len(said.Reached) > 0 {
		h.send(said)
	}
}

// useful returns what peers wait for of advanced.
func (h *hints) useful(advanced map[string]int64, now time.Time) map[string]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.wanted) == 0 {
		return nil
	}
	var reached map[string]int64
	for key, version := range advanced {
		if p, ok := h.wanted[key]; ok && now.Before(p.until) {
			if reached == nil {
				reached = map[string]int64{}
			}
			reached[key] = version
		}
	}
	return reached
}

func (h *hints) send(said hint) {
	data, err := json.Marshal(said)
	if err != nil {
		return // strings and numbers always encode
	}
	if h.nc.Publish(h.subject, data) == nil { // a hint that gets lost costs a look at the store
		h.metrics.hints.WithLabelValues("sent").Inc()
	}
}
