package listeners

import "time"

// failing returns since when the key fails that has for longest, and why.
func (l *lane) failing() (since time.Time, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waiting {
		if w.failed != nil && (why == nil || w.failedSince.Before(since)) {
			why, since = w.failed, w.failedSince
		}
	}
	return since, why
}

// held returns a description of everything that waits.
func (l *lane) held() []HeldMessage {
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
	for _, w := range l.waiting {
		if len(w.deliveries) == 0 {
			continue
		}
		n += len(w.deliveries)
		if s := w.since(); since.IsZero() || s.Before(since) {
			since = s
		}
	}
	return since, n
}
