package listeners

import (
	"errors"
	"sync"
	"time"

	"lockstep/event"
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

// settled is what the verdicts on a batch lead to.
type settled struct {
	done     []*delivery      // durable: to be acknowledged
	advanced map[string]int64 // keys that got on, with the version they reached
	wanted   []want           // keys that wait and should be announced to peers
	hot      []want           // keys that many messages wait for
	failed   error            // one of the errors, if there were any
}

// settle files a batch by its verdicts.
func (l *lane) settle(batch []*delivery, verdicts []Verdict, now time.Time) settled {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := settled{advanced: map[string]int64{}}
	looked := map[string]*waiting{}
	for i, d := range batch {
		v := verdicts[i]
		switch {
		case v.Err != nil && errors.Is(v.Err, event.ErrInvalid) && d.poison == nil:
			d.condemn(v.Err)
			l.queue = append(l.queue, d)
		case v.Err != nil:
			s.failed = v.Err
			d.channel.count.failed.Inc()
			looked[d.key] = l.wait(d, v.Err)
		case v.Outcome == event.Early:
			looked[d.key] = l.wait(d, nil)
		default:
			delete(l.known, d.position())
			s.finish(d)
		}
	}
	for key, w := range looked {
		w.postpone(now, l.maxFailedPause)
		if w.failed == nil {
			s.note(key, w, now)
		}
	}
	l.tidy(batch, s.advanced)
	return s
}

// finish files d as durable.
func (s *settled) finish(d *delivery) {
	s.done = append(s.done, d)
	if d.poison != nil {
		return
	}
	if reached, ok := s.advanced[d.key]; !ok || reached < d.item.Version {
		s.advanced[d.key] = d.item.Version
	}
}

// note files what there is to tell of a key that waits.
func (s *settled) note(key string, w *waiting, now time.Time) {
	first, n := w.deliveries[0], len(w.deliveries)
	say := want{Key: key, Subject: first.channel.subject, Sequence: first.sequence, Waiting: n}
	hot := n >= hotKey
	if hot {
		s.hot = append(s.hot, say)
	}
	if now.Sub(w.announced) >= announceEvery || hot && !w.hot {
		w.announced = now
		s.wanted = append(s.wanted, say)
	}
	w.hot = hot
}

// wait files d as one that cannot be applied yet.
func (l *lane) wait(d *delivery, why error) *waiting {
	w := l.waiting[d.key]
	if w == nil {
		w = &waiting{}
		l.waiting[d.key] = w
	}
	if (w.failed == nil) != (why == nil) { // what was counted as early is no longer, or the reverse
		for _, other := range w.deliveries {
			other.countEarly(why == nil)
		}
		w.pause = 0
	}
	w.failed = why
	l.hold(w, d)
	return w
}

// tidy drops what waits for nothing any more, and looks at once again at keys
// that got on.
func (l *lane) tidy(batch []*delivery, advanced map[string]int64) {
	for _, d := range batch {
		w := l.waiting[d.key]
		if w == nil {
			continue
		}
		if len(w.deliveries) == 0 {
			delete(l.waiting, d.key)
			continue
		}
		if _, ok := advanced[d.key]; ok {
			w.hurry()
		}
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
