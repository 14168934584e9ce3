package listeners

import (
	"slices"
	"time"
)

// stuck returns up to limit keys something is missing for since before a time,
// and marks them as being rescued.
func (l *lane) stuck(before time.Time, limit int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []string
	for key, w := range l.waiting {
		if len(keys) >= limit {
			break
		}
		if len(w.deliveries) == 0 || w.failed != nil || w.rescued || !w.since().Before(before) {
			continue
		}
		w.rescued = true
		keys = append(keys, key)
	}
	return keys
}

// missing returns the version that the first waiting delivery of key needs;
// false if none waits.
func (l *lane) missing(key string) (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waiting[key]
	if w == nil || len(w.deliveries) == 0 {
		return 0, false
	}
	return w.deliveries[0].item.Predecessor, true
}

// evict takes what waits of key out of the lane. Copies still fold into it
// until it is finished or restored.
func (l *lane) evict(key string) []*delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waiting[key]
	if w == nil || w.failed != nil {
		return nil
	}
	for _, d := range w.deliveries {
		d.countEarly(false)
	}
	return w.cut(len(w.deliveries))
}

// restore takes evicted deliveries back; they are looked at again.
func (l *lane) restore(ds []*delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, ds...)
	l.notify()
}

// finish forgets an evicted delivery, which is durable now.
func (l *lane) finish(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, d.position())
}

// giveBack forgets an evicted delivery that is only borrowed. It reports false
// if the group has delivered it too: then it must become durable.
func (l *lane) giveBack(d *delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !d.borrowed {
		return false
	}
	delete(l.known, d.position())
	return true
}

// rescued ends the rescue of key.
func (l *lane) rescued(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.waiting[key]
	if w == nil {
		return
	}
	w.rescued = false
	if len(w.deliveries) == 0 {
		delete(l.waiting, key)
	}
}

// deliveries returns a description of everything that waits.
func (l *lane) deliveries() []HeldMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	var held []HeldMessage
	for _, w := range l.waiting {
		for _, d := range w.deliveries {
			held = append(held, describe(d, w.failed))
		}
	}
	return held
}

// oldest returns when the delivery that waits longest arrived, and how many
// wait.
func (l *lane) oldest() (since time.Time, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	times := make([]time.Time, 0, len(l.waiting))
	for _, w := range l.waiting {
		if len(w.deliveries) > 0 {
			times = append(times, w.since())
			n += len(w.deliveries)
		}
	}
	if len(times) == 0 {
		return time.Time{}, 0
	}
	return slices.MinFunc(times, time.Time.Compare), n
}
