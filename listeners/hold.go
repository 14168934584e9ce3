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
	failed     error         // why the last look failed; nil if something is missing
	pause      time.Duration // between the last look and the next
	next       time.Time     // when to look again
	announced  time.Time     // when peers were last told that this key waits
	hot        bool          // many messages wait; peers were told
	rescued    bool          // somebody is repairing the record or setting the deliveries aside
}

// How long a key waits between two looks at the store. While something is
// missing, a look is cheap and the gap mostly short; while the store fails,
// looks are what it can least bear.
const (
	minEarlyPause  = 10 * time.Millisecond
	maxEarlyPause  = 250 * time.Millisecond
	minFailedPause = 50 * time.Millisecond
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
	return taken
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
