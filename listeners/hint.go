package listeners

import (
	"encoding/json"
	"errors"
	"slices"
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

	// maxHintKey is how long a key may be that is told to peers and remembered:
	// no id is longer.
	maxHintKey = 128

	// maxHint is how many bytes a hint may have, and waitingHints how many of
	// them may wait to be looked at. Anybody may publish there.
	maxHint      = 128 << 10
	waitingHints = 1 << 20

	// hotKey is how many messages of one key wait when it is worth bringing
	// what the members hold of it together in the quarantine, instead of
	// handing the key from member to member version by version.
	hotKey = 8
)

// hint is what members of a group tell each other over core NATS. It may get
// lost and it may be wrong: it is a reason to look at the store, nothing more.
type hint struct {
	Member  string           `json:"member"`
	Wanted  []want           `json:"wanted,omitempty"`  // keys that wait here
	Reached map[string]int64 `json:"reached,omitempty"` // wanted keys that got on here, with their version
	Stored  []string         `json:"stored,omitempty"`  // keys of which messages were set aside here
}

// want says that a key waits for something.
type want struct {
	Key     string `json:"key"`
	Waiting int    `json:"waiting"` // messages of the key
}

// peers is what is known of a key that waits elsewhere.
type peers struct {
	until  time.Time // believed until then
	hotFor string    // lowest name of a member the key is hot for; "" if it is for none
}

// hints is a member's side of that talk.
type hints struct {
	member  string
	subject string
	nc      *nats.Conn
	metrics *Metrics
	reached func(key string, version int64) // a peer says so
	stored  func(key string)                // a peer says that it set messages of key aside

	mu     sync.Mutex
	wanted map[string]peers
}

func newHints(nc *nats.Conn, group, member string, m *Metrics, reached func(string, int64), stored func(string)) *hints {
	return &hints{
		member: member, subject: "lockstep.hint." + group, nc: nc, metrics: m, reached: reached, stored: stored,
		wanted: map[string]peers{},
	}
}

func (h *hints) subscribe() (*nats.Subscription, error) {
	sub, err := h.nc.Subscribe(h.subject, func(m *nats.Msg) { h.hear(m.Data, time.Now()) })
	if err != nil {
		return nil, err
	}
	return sub, sub.SetPendingLimits(-1, waitingHints)
}

func (h *hints) hear(data []byte, now time.Time) {
	said, err := readHint(data)
	if err != nil {
		h.metrics.hints.WithLabelValues("ignored").Inc()
		return
	}
	if said.Member == h.member {
		return
	}
	h.metrics.hints.WithLabelValues("received").Inc()
	if len(said.Wanted) > 0 {
		h.remember(said, now)
	}
	for key, version := range said.Reached {
		h.reached(key, version)
	}
	for _, key := range said.Stored {
		h.stored(key)
	}
}

// errNoHint: no member of a group says this.
var errNoHint = errors.New("no hint")

// readHint reads what a member of this release may say.
func readHint(data []byte) (said hint, err error) {
	if len(data) > maxHint {
		return hint{}, errNoHint
	}
	if err := json.Unmarshal(data, &said); err != nil {
		return hint{}, err
	}
	long := func(key string) bool { return len(key) > maxHintKey }
	if long(said.Member) || slices.ContainsFunc(said.Wanted, func(w want) bool { return long(w.Key) }) {
		return hint{}, errNoHint
	}
	return said, nil
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
			p = peers{}
		}
		p.until = now.Add(wantedFor)
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

// elsewhere reports whether a key that is hot here is so for a peer too that is
// to bring its messages together.
func (h *hints) elsewhere(key string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.wanted[key]
	return ok && now.Before(p.until) && p.hotFor != "" && p.hotFor < h.member
}

// tell tells the group which keys wait here, which of those that wait
// elsewhere got on here, and of which messages were set aside. Most batches
// have nothing to tell.
func (h *hints) tell(advanced map[string]int64, wanted []want, stored map[string]struct{}, now time.Time) {
	said := hint{Member: h.member, Wanted: wanted, Reached: h.useful(advanced, now)}
	for key := range stored {
		if len(key) <= maxHintKey {
			said.Stored = append(said.Stored, key)
		}
	}
	said.Wanted = slices.DeleteFunc(said.Wanted, func(w want) bool { return len(w.Key) > maxHintKey })
	for len(said.Wanted) > maxHints {
		h.send(hint{Member: h.member, Wanted: said.Wanted[:maxHints]})
		said.Wanted = said.Wanted[maxHints:]
	}
	if len(said.Wanted)+len(said.Reached)+len(said.Stored) > 0 {
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
