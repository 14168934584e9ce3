package listeners

import (
	"sync"
	"time"
)

// lane brings the deliveries of its keys into an order in which they can be
// applied. It does no I/O: a worker takes batches from it, has them handled
// and tells it the verdicts. Everything but next and settle, which belong to
// the worker, may be called from any goroutine.
type lane struct {
	maxFailedPause time.Duration

	mu      sync.Mutex
	queue   []*delivery            // arrived, not looked at yet
	known   map[position]*delivery // whatever was taken in and is not finished
	waiting map[string]*waiting    // by key
	wake    chan struct{}          // holds a token when there may be work
}

func newLane(maxFailedPause time.Duration) *lane {
	return &lane{
		maxFailedPause: max(maxFailedPause, minFailedPause),
		known:          map[position]*delivery{},
		waiting:        map[string]*waiting{},
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
		if d.borrowed {
			return true
		}
		if k.borrowed {
			k.borrowed = false
			k.channel.borrowed.Add(-1)
			k.channel.unacked.Add(1)
		}
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
	if d.borrowed {
		d.channel.borrowed.Add(1)
	} else {
		d.copies = 1
		d.channel.unacked.Add(1)
	}
	l.queue = append(l.queue, d)
	l.notify()
	return true
}

// next returns what to handle now, about limit deliveries at most; those of
// one key in version order and not to be handled elsewhere until settle. With
// looks false, keys that merely wait for their next look are left alone.
func (l *lane) next(now time.Time, limit int, looks bool) []*delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, n := []*delivery(nil), 0
	for ; n < len(l.queue) && len(batch) < limit; n++ {
		d := l.queue[n]
		w := l.waiting[d.key]
		if w == nil {
			batch = append(batch, d)
			continue
		}
		if len(w.deliveries) > 0 && d.follows(w.deliveries[0].item.Version) {
			l.hold(w, d) // what the first one waits for is missing for this one too
			continue
		}
		batch = append(batch, d)
		batch = append(batch, l.pull(w, d.item.Version, limit)...)
	}
	l.queue = append(l.queue[:0], l.queue[n:]...)
	for _, w := range l.waiting {
		if len(batch) >= limit {
			break
		}
		if due := w.next.IsZero() || looks && !now.Before(w.next); due && len(w.deliveries) > 0 {
			batch = append(batch, l.pull(w, w.deliveries[0].item.Predecessor, limit)...)
		}
	}
	return batch
}

func (l *lane) pull(w *waiting, version int64, limit int) []*delivery {
	pulled := w.pull(version, limit)
	for _, d := range pulled {
		d.countEarly(false)
	}
	return pulled
}

func (l *lane) hold(w *waiting, d *delivery) {
	w.put(d)
	d.countEarly(w.failed == nil)
	if !d.held && !d.borrowed {
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

// lacks reports whether d may be what something held waits for. With all set,
// whatever belongs to a key that waits is of use.
func (l *lane) lacks(d *delivery, all bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waiting[d.key]
	return w != nil && (all || len(w.deliveries) > 0 && d.item.Version <= w.deliveries[0].item.Predecessor)
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
