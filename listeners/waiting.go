package listeners

import (
	"cmp"
	"slices"
	"time"
)

// waiting holds the deliveries of one key that were looked at and could not be
// applied yet, lowest version first. It outlives the moments in which they are
// with the handler, since it remembers how long to wait between looks.
type waiting struct {
	deliveries []*delivery
	pause      time.Duration // between the last look and the next
	next       time.Time     // when to look again
	announced  time.Time     // when peers were last told that this key waits
	hot        bool          // many messages wait; peers were told
	repairing  bool          // somebody is repairing the record
	giveUp     string        // why the deliveries are to be set aside; "" if they are not

	failed      error     // why the last look failed; nil if something is missing
	failedSince time.Time // when the first of the looks that failed one after the other did
	failedLast  time.Time
	overtaken   int // of those looks, how many came after others had succeeded
}

// How long a key waits between two looks at the store. While something is
// missing, a look is cheap and the gap mostly short; while the store fails,
// looks are what it can least bear.
const (
	minEarlyPause  = 10 * time.Millisecond
	maxEarlyPause  = 250 * time.Millisecond
	minFailedPause = 50 * time.Millisecond
)

// What keeps failing gives way: when its time is used up, if so many of its
// looks failed although others had succeeded since the one before; or when it
// fills the window, if it has failed for so long.
const (
	overtakenLooks = 3
	failingFor     = 2 * time.Second
)

func (w *waiting) put(d *delivery) {
	i, _ := slices.BinarySearchFunc(w.deliveries, d, func(a, b *delivery) int {
		return cmp.Or(cmp.Compare(a.item.Version, b.item.Version), cmp.Compare(a.sequence, b.sequence))
	})
	w.deliveries = slices.Insert(w.deliveries, i, d)
}

// pull takes what can be applied once version is, up to limit deliveries.
func (w *waiting) pull(version int64, limit int) []*delivery {
	n := 0
	for n < min(len(w.deliveries), limit) && w.deliveries[n].item.Predecessor <= version {
		version = max(version, w.deliveries[n].item.Version)
		n++
	}
	return w.cut(n)
}

// cut takes the first n deliveries.
func (w *waiting) cut(n int) []*delivery {
	taken := slices.Clone(w.deliveries[:n])
	w.deliveries = slices.Delete(w.deliveries, 0, n)
	for _, d := range taken {
		d.count(false)
	}
	return taken
}

// looked notes that a look at the key failed, or found something missing if
// why is nil. Something else succeeded last at the given time.
func (w *waiting) looked(why error, succeeded, now time.Time) {
	switch {
	case why == nil:
		w.failedSince, w.overtaken = time.Time{}, 0
	case w.failedSince.IsZero():
		w.failedSince = now
	case succeeded.After(w.failedLast):
		w.overtaken++
	}
	if (w.failed == nil) != (why == nil) {
		w.pause = 0
	}
	w.failed, w.failedLast = why, now
}

// postpone doubles the pause between looks.
func (w *waiting) postpone(now time.Time, maxFailedPause time.Duration) {
	low, high := minEarlyPause, maxEarlyPause
	if w.failed != nil {
		low, high = minFailedPause, maxFailedPause
	}
	w.pause = min(max(2*w.pause, low), high)
	w.next = now.Add(w.pause)
}

// hurry asks for a look at once, and for short pauses after it.
func (w *waiting) hurry() {
	w.pause = 0
	w.next = time.Time{}
}

// since returns when the oldest delivery arrived.
func (w *waiting) since() time.Time {
	var oldest time.Time
	for _, d := range w.deliveries {
		if oldest.IsZero() || d.arrived.Before(oldest) {
			oldest = d.arrived
		}
	}
	return oldest
}

// usedUp reports whether the key has waited since before a time and gives way.
func (w *waiting) usedUp(before time.Time) bool {
	if len(w.deliveries) == 0 || w.deliveries[0].poison != nil { // the quarantine itself fails
		return false
	}
	if w.failed != nil {
		return w.overtaken >= overtakenLooks && w.failedSince.Before(before)
	}
	return w.since().Before(before)
}

// crowds reports whether the key may be set aside to make room.
func (w *waiting) crowds(now time.Time) bool {
	if len(w.deliveries) == 0 || w.deliveries[0].poison != nil {
		return false
	}
	return w.failed == nil || now.Sub(w.failedSince) >= failingFor
}
