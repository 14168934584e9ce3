package outbox

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"lockstep/event"
)

// world is a store, its feed and a broker that drive a queue by chance. All it
// keeps from the queue is what a real relay would.
type world struct {
	*rapid.T
	q *queue

	stored    map[string][]Record // by key, in version order
	next      map[string]int64    // version of the next commit
	feed      []Record            // in order: a scan's snapshot, then commits
	hints     []Record
	flying    []*lane
	reads     []read
	failing   []*lane
	heads     map[*lane]Record // of failing lanes
	relocked  []Record
	deletes   []Record
	confirmed map[string]int64
	forgotten map[string]bool
	released  map[string]bool // ids that an operator unlocked
}

// read is a Store.Key under way.
type read struct {
	lane    *lane
	records []Record
	done    bool // records were read; the queue does not have them yet
}

func newWorld(t *rapid.T) *world {
	return &world{
		T:      t,
		q:      newQueue(limits{window: 4, perKey: 3, memory: 6, undeleted: 5, bytes: 1 << 20, blocked: 3}),
		stored: map[string][]Record{}, next: map[string]int64{}, heads: map[*lane]Record{},
		confirmed: map[string]int64{}, forgotten: map[string]bool{}, released: map[string]bool{},
	}
}

func (w *world) pick(what string, n int) int { return rapid.IntRange(0, n-1).Draw(w.T, what) }
func (w *world) chance(what string) bool     { return rapid.Bool().Draw(w.T, what) }

// with removes one item by chance and does f with it. Like every step it
// reports whether there was anything to do.
func with[T any](w *world, from *[]T, f func(T)) bool {
	if len(*from) == 0 {
		return false
	}
	i := w.pick("which", len(*from))
	item := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	f(item)
	return true
}

func (w *world) commit() bool {
	key := fmt.Sprintf("k%d", w.pick("key", 5))
	r := Record{Event: event.Event{Key: key, Version: w.next[key], Payload: []byte("x")}, Locked: true}
	w.next[key]++
	w.stored[key] = append(w.stored[key], r)
	w.feed = append(w.feed, r)
	if w.chance("hint") {
		w.hints = append(w.hints, r)
	}
	return true
}

func (w *world) deliver() bool {
	if len(w.feed) == 0 || !w.q.hasRoom() {
		return false
	}
	w.q.offer(&w.feed[0], true)
	w.feed = w.feed[1:]
	return true
}

func (w *world) hint() bool {
	return with(w, &w.hints, func(r Record) { w.q.offer(&r, false) })
}

// rescan replaces the tail: what it would have reported is lost, what is
// stored comes again.
func (w *world) rescan() bool {
	w.feed = nil
	for _, key := range w.keys() {
		w.feed = append(w.feed, w.stored[key]...)
	}
	return true
}

func (w *world) keys() []string {
	var keys []string
	for key, records := range w.stored {
		if len(records) > 0 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (w *world) publish() bool {
	l := w.q.next()
	if l == nil {
		return false
	}
	r := *l.waiting.oldest()
	for _, other := range w.flying {
		if other.key == l.key {
			w.Fatalf("%s: v%d is published while v%d is under way", l.key, r.Version, other.waiting.oldest().Version)
		}
	}
	if i := w.find(r); i >= 0 && !w.stored[l.key][i].Locked && !w.released[r.ID()] {
		w.Fatalf("%s: v%d is published although it failed and was not taken up again", l.key, r.Version)
	}
	last, published := w.confirmed[l.key]
	for _, s := range w.stored[l.key] {
		if s.Version < r.Version && (!published || s.Version > last) {
			w.Fatalf("%s: v%d is published while v%d waits", l.key, r.Version, s.Version)
		}
	}
	if published && r.Version <= last && !w.forgotten[l.key] {
		w.Fatalf("%s: v%d is published again", l.key, r.Version)
	}
	w.flying = append(w.flying, l)
	return true
}

func (w *world) confirm() bool {
	return with(w, &w.flying, func(l *lane) {
		r := w.q.confirm(l)
		w.confirmed[r.Key] = max(r.Version, w.confirmed[r.Key])
		w.deletes = append(w.deletes, r)
	})
}

func (w *world) delete() bool {
	if len(w.deletes) == 0 {
		return false
	}
	w.erase(w.deletes[0])
	w.deletes = w.deletes[1:]
	w.q.deletes--
	return true
}

func (w *world) erase(r Record) bool {
	i := w.find(r)
	if i >= 0 {
		w.stored[r.Key] = slices.Delete(w.stored[r.Key], i, i+1)
	}
	return i >= 0
}

func (w *world) find(r Record) int {
	return slices.IndexFunc(w.stored[r.Key], func(s Record) bool { return s.Version == r.Version })
}

func (w *world) unreachable() bool { return with(w, &w.flying, w.q.putBack) }
func (w *world) unconfirmed() bool { return with(w, &w.flying, w.q.doubt) }
func (w *world) reject() bool      { return with(w, &w.flying, w.startFailing) }

func (w *world) resolve() bool {
	for _, l := range w.q.resolve(w.chance("healthy"), 1) {
		w.startFailing(l)
	}
	return true
}

func (w *world) startFailing(l *lane) {
	w.heads[l] = w.q.fail(l)
	w.failing = append(w.failing, l)
}

func (w *world) recordFailure() bool {
	return with(w, &w.failing, func(l *lane) {
		i := w.find(w.heads[l])
		if i >= 0 {
			w.stored[l.key][i].Locked = false
		}
		delete(w.heads, l)
		w.q.failed(l, i < 0)
	})
}

func (w *world) startLoad() bool {
	l := w.q.nextLoad()
	if l == nil {
		return false
	}
	w.reads = append(w.reads, read{lane: l})
	return true
}

func (w *world) read() bool {
	if len(w.reads) == 0 {
		return false
	}
	r := &w.reads[w.pick("read", len(w.reads))]
	if r.done {
		return false
	}
	for _, s := range w.stored[r.lane.key] {
		if s.Version > r.lane.last && len(r.records) < r.lane.page {
			r.records = append(r.records, s)
		}
	}
	r.done = true
	return true
}

func (w *world) loaded() bool {
	i := slices.IndexFunc(w.reads, func(r read) bool { return r.done })
	if i < 0 {
		return false
	}
	r := w.reads[i]
	w.reads = slices.Delete(w.reads, i, i+1)
	w.q.loaded(r.lane, r.records)
	return true
}

// due runs the first half of the retry job.
func (w *world) due() bool {
	for _, key := range w.keys() {
		head := w.stored[key][0]
		if head.Locked {
			continue
		}
		if !w.q.claim(head) {
			w.noteForgotten(head)
			continue
		}
		w.stored[key][0].Locked = true
		w.relocked = append(w.relocked, head)
	}
	return true
}

func (w *world) retried() bool { return with(w, &w.relocked, func(r Record) { w.q.retry(r, true) }) }

func (w *world) recheck() bool {
	w.q.recheck(2)
	return true
}

func (w *world) discard() bool {
	keys := w.keys()
	if len(keys) == 0 {
		return false
	}
	key := keys[w.pick("key", len(keys))]
	if w.stored[key][0].Locked {
		return false
	}
	w.stored[key] = w.stored[key][1:]
	return true
}

// release is an operator's retry: any record is unlocked, whatever becomes of
// it at this moment.
func (w *world) release() bool {
	keys := w.keys()
	if len(keys) == 0 {
		return false
	}
	records := w.stored[keys[w.pick("key", len(keys))]]
	i := w.pick("record", len(records))
	records[i].Locked = false
	w.released[records[i].ID()] = true
	return true
}

func (w *world) sweep() bool {
	for _, key := range w.keys() {
		if head := w.stored[key][0]; head.Locked && !w.q.adopt(head) {
			w.noteForgotten(head)
		}
	}
	return true
}

// noteForgotten: a published version that the store still shows is forgotten,
// so it may be published once more.
func (w *world) noteForgotten(r Record) {
	if last, ok := w.confirmed[r.Key]; ok && r.Version <= last {
		w.forgotten[r.Key] = true
	}
}

// check holds the queue's figures to what is in it.
func (w *world) check(*rapid.T) {
	records, bytes, inFlight, stuck := 0, 0, 0, 0
	for _, l := range w.q.lanes {
		records += l.waiting.len()
		bytes += l.waiting.len()
		switch l.state {
		case flying:
			inFlight++
		case blocked, failing:
			stuck++
		}
		if l.waiting.len() > w.q.perKey {
			w.Fatalf("%s holds %d records, want at most %d", l.key, l.waiting.len(), w.q.perKey)
		}
	}
	got := fmt.Sprint(w.q.records, w.q.bytes, w.q.flying, w.q.blocked, w.q.deletes, w.q.failing)
	want := fmt.Sprint(records, bytes, inFlight, stuck, len(w.deletes), len(w.failing))
	if got != want {
		w.Fatalf("records, bytes, flying, blocked, deletes, failing = %s, want %s", got, want)
	}
	if inFlight > w.q.window {
		w.Fatalf("%d events under way, want at most %d", inFlight, w.q.window)
	}
}
