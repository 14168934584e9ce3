package listeners

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
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
// lost and it may be wrong: it is a reason to look at the store, nothing more.
type hint struct {
	Member  string           `json:"member"`
	Wanted  []string         `json:"wanted,omitempty"`  // keys that wait here
	Reached map[string]int64 `json:"reached,omitempty"` // wanted keys that got on here, with their version
}

// hints is a member's side of that talk.
type hints struct {
	member  string
	subject string
	nc      *nats.Conn
	metrics *Metrics
	reached func(key string, version int64) // a peer says so

	mu     sync.Mutex
	wanted map[string]time.Time // keys peers wait for, and until when we believe it
}

func newHints(nc *nats.Conn, group, member string, m *Metrics, reached func(string, int64)) *hints {
	return &hints{
		member: member, subject: "lockstep.hint." + group, nc: nc, metrics: m, reached: reached,
		wanted: map[string]time.Time{},
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
		h.remember(said.Wanted, now)
	}
	for key, version := range said.Reached {
		h.reached(key, version)
	}
}

func (h *hints) remember(keys []string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		if _, known := h.wanted[key]; known || len(h.wanted) < maxWanted {
			h.wanted[key] = now.Add(wantedFor)
		}
	}
	if len(h.wanted) < maxWanted {
		return
	}
	for key, until := range h.wanted {
		if now.After(until) {
			delete(h.wanted, key)
		}
	}
}

// tell tells the group which keys wait here, and which of those that wait
// elsewhere got on here. Most batches have nothing to tell.
func (h *hints) tell(advanced map[string]int64, wanted []string, now time.Time) {
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
		if until, ok := h.wanted[key]; ok && now.Before(until) {
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
