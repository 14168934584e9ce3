package listeners

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// lane brings the deliveries of its keys into an order in which they can be
// applied. It does no I/O: a worker takes batches from it, has them handled
// and tells it the verdicts (settle.go). Everything but next, evict and settle,
// which belong to the worker, may be called from any goroutine.
type lane struct {
	maxFailedPause time.Duration

	mu        sync.Mutex
	arrived   []*delivery            // from the broker, not looked at yet
	stored    []*delivery            // from quarantine, not looked at yet
	recalled  int                    // deliveries from quarantine that are not finished
	known     map[position]*delivery // whatever was taken in and is not finished
	waiting   map[string]*waiting    // by key
	reached   map[string]int64       // keys that got on: quarantine may hold what follows
	turn      int                    // which kind of work the last batch was
	excess    int                    // how many held deliveries are to be set aside
	giving    bool                   // some keys are
	succeeded time.Time              // when something was applied last
	wake      chan struct{}          // holds a token when there may be work
}

func newLane(maxFailedPause time.Duration) *lane {
	return &lane{
		maxFailedPause: max(maxFailedPause, minFailedPause),
		known:          map[position]*delivery{},
		waiting:        map[string]*waiting{},
		reached:        map[string]int64{},
		wake:           make(chan struct{}, 1),
	}
}

func (l *lane) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// add takes d in. A copy of a message that is here already is folded into it:
// the newest handle is the one the broker listens to. It reports false if d is
// new and there is no room; the broker will send it again.
func (l *lane) add(d *delivery, room bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.known[d.position()]; ok {
		k.ack = d.ack
		k.copies++
		if w := l.waiting[k.key]; w != nil {
			w.hurry()
			l.notify()
		}
		return true
	}
	if !room {
		return false
	}
	l.known[d.position()] = d
	d.copies = 1
	d.channel.taken(d)
	l.arrived = append(l.arrived, d)
	l.notify()
	return true
}

// recall takes in an entry of the quarantine. It reports false if it is here
// already.
func (l *lane) recall(d *delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.known[d.position()]; ok {
		return false
	}
	l.known[d.position()] = d
	l.recalled++
	l.stored = append(l.stored, d)
	l.notify()
	return true
}

// The kinds of work, which take turns: what fails, or waits in quarantine,
// shares no batch with what arrives, and does not keep it from its turn.
const (
	ofArrived = iota
	ofFailed
	ofStored
	kinds
)

// next returns what to handle now, about limit deliveries at most; those of
// one key in version order and not to be handled elsewhere until settle. With
// looks false, keys that merely wait for their next look are left alone.
func (l *lane) next(now time.Time, limit int, looks bool) []*delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range kinds {
		l.turn = (l.turn + 1) % kinds
		var batch []*delivery
		switch l.turn {
		case ofArrived:
			batch = l.take(&l.arrived, limit)
			batch = l.due(batch, now, limit, looks, false)
		case ofFailed:
			batch = l.due(nil, now, limit, looks, true)
		case ofStored:
			batch = l.take(&l.stored, limit)
		}
		if len(batch) > 0 {
			return batch
		}
	}
	return nil
}

// take returns up to limit deliveries of a queue, with what can be applied
// after them.
func (l *lane) take(queue *[]*delivery, limit int) (batch []*delivery) {
	n, size := 0, 0
	for ; n < len(*queue) && len(batch) < limit && size < batchBytes; n++ {
		d := (*queue)[n]
		w := l.waiting[d.key]
		if w == nil {
			batch, size = append(batch, d), size+len(d.payload)
			continue
		}
		if d.entry == "" && len(w.deliveries) > 0 && d.follows(w.deliveries[0].item.Version) {
			l.hold(w, d) // what the first one waits for is missing for this one too
			continue
		}
		batch, size = append(batch, d), size+len(d.payload)
		batch = append(batch, w.pull(d.item.Version, limit)...)
	}
	rest := copy(*queue, (*queue)[n:])
	clear((*queue)[rest:])
	*queue = (*queue)[:rest]
	return batch
}

// due adds the keys whose next look is due.
func (l *lane) due(batch []*delivery, now time.Time, limit int, looks, failed bool) []*delivery {
	for _, w := range l.waiting {
		if len(batch) >= limit {
			break
		}
		if len(w.deliveries) == 0 || (w.failed != nil) != failed {
			continue
		}
		if w.next.IsZero() || looks && !now.Before(w.next) {
			batch = append(batch, w.pull(w.deliveries[0].item.Predecessor, limit)...)
		}
	}
	return batch
}

func (l *lane) hold(w *waiting, d *delivery) {
	w.put(d)
	d.count(true)
	if !d.held {
		d.held = true
		d.channel.count.held.Inc()
	}
}

// look asks for a look at key at once, if something of it waits for version or
// an earlier one.
func (l *lane) look(key string, version int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waiting[key]
	if w == nil || len(w.deliveries) > 0 && w.deliveries[0].item.Predecessor > version {
		return
	}
	w.hurry()
	l.notify()
}

// got asks for a look into the quarantine: key got on to version.
func (l *lane) got(key string, version int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reached[key] = version
	l.notify()
}

// stores says that peers set messages of key aside: if it waits here, they may
// be what it waits for.
func (l *lane) stores(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.waiting[key]; w != nil && len(w.deliveries) > 0 {
		l.reached[key] = w.deliveries[0].item.Predecessor
		l.notify()
	}
}

// progress returns the keys that got on, and nil while there is other work of
// the quarantine.
func (l *lane) progress() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.reached) == 0 || l.recalled > 0 {
		return nil
	}
	reached := l.reached
	l.reached = map[string]int64{}
	return reached
}

// busy reports whether entries of the quarantine are in the lane.
func (l *lane) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recalled > 0
}

// alarm returns when the next look is due; the zero time if nothing waits.
func (l *lane) alarm() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first time.Time
	for _, w := range l.waiting {
		if len(w.deliveries) > 0 && (first.IsZero() || w.next.Before(first)) {
			first = w.next
		}
	}
	return first
}

// stuck returns up to limit keys that have waited since before a time, and
// marks them as being repaired.
func (l *lane) stuck(before time.Time, limit int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []string
	for key, w := range l.waiting {
		if len(keys) >= limit {
			break
		}
		if w.repairing || w.giveUp != "" || !w.usedUp(before) {
			continue
		}
		w.repairing = true
		keys = append(keys, key)
	}
	return keys
}

// repaired ends the repair of key, after which its record has a version. It
// reports whether that was what it needed; otherwise what waits is set aside.
func (l *lane) repaired(key string, reached int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waiting[key]
	if w == nil {
		return true
	}
	w.repairing = false
	w.hurry()
	l.notify()
	if len(w.deliveries) == 0 || reached >= w.deliveries[0].item.Predecessor && w.failed == nil {
		return true
	}
	w.giveUp, l.giving = fmt.Sprintf("its predecessor did not come in time; repair: the owner has version %d only", reached), true
	return false
}

// unrepaired ends the repair of key, which did not succeed: what waits of it is
// set aside.
func (l *lane) unrepaired(key, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.waiting[key]; w != nil {
		w.repairing, w.giveUp, l.giving = false, why, true
		l.notify()
	}
}

// spread asks to set aside what waits of key.
func (l *lane) spread(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.waiting[key]; w != nil && len(w.deliveries) > 0 && w.failed == nil {
		w.giveUp, l.giving = "versions of it are spread over the members of the group", true
		l.notify()
	}
}

// relieve asks to set aside a share of what is held of a channel.
func (l *lane) relieve(c *channel, share float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, w := range l.waiting {
		for _, d := range w.deliveries {
			if d.channel == c {
				n++
			}
		}
	}
	l.excess = int(math.Ceil(share * float64(n)))
	l.notify()
}

// evict takes out of the lane what is to be set aside, about limit deliveries
// at most. Copies still fold into them until they are kept or restored.
func (l *lane) evict(now time.Time, limit int) []*delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.excess <= 0 && !l.giving {
		return nil
	}
	var out []*delivery
	size := 0
	for key, w := range l.waiting {
		if len(out) >= limit || size >= batchBytes {
			return out
		}
		why := w.giveUp
		if why == "" && l.excess > 0 && w.crowds(now) {
			why = "held messages filled their share of the window"
		}
		if why == "" {
			continue
		}
		for _, d := range w.cut(len(w.deliveries)) {
			d.reason, d.detail = TooEarly, why
			if w.failed != nil {
				d.reason, d.detail = Failing, why+"; "+w.failed.Error()
			}
			out, size = append(out, d), size+len(d.payload)
			l.excess--
		}
		delete(l.waiting, key)
	}
	l.excess, l.giving = 0, false
	return out
}

// keep notes that an evicted delivery is in quarantine now. It is looked at
// again by its worker: what it waits for may have come meanwhile.
func (l *lane) keep(d *delivery, entry string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, d.position())
	d.entry = entry
	l.known[d.position()] = d
	l.recalled++
}

// restore takes evicted deliveries back; they are looked at again.
func (l *lane) restore(ds []*delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived = append(l.arrived, ds...)
	l.notify()
}
