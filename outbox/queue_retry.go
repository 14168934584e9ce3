package outbox

// canRetry reports whether r, unlocked and due in the store, may be taken up:
// nobody works on its key.
func (q *queue) canRetry(r Record) bool {
	if l := q.lanes[r.Key]; l != nil {
		return l.state == blocked && r.Version > l.last
	}
	return !q.repeats(r)
}

// retry puts r, locked again and the oldest of its key, back into its turn.
func (q *queue) retry(r Record) {
	l := q.lanes[r.Key]
	switch {
	case r.Version <= q.published.last(r.Key):
		return // published meanwhile
	case l == nil:
		l = q.open(r.Key)
	case l.state == blocked:
		q.blocked--
	default:
		return // being read meanwhile: if that came too early, the next check finds it locked
	}
	r.Locked = true
	l.begin(q, r)
	l.more = true
}

// recheck asks for the heads of up to n blocked lanes: an operator may have
// discarded them.
func (q *queue) recheck(n int) {
	for n > 0 && q.stuck.len() > 0 {
		l := q.stuck.pop()
		l.listed = false
		if l.state != blocked {
			continue
		}
		q.unblock(l)
		n--
	}
}

func (q *queue) unblock(l *lane) {
	q.blocked--
	q.load(l, 1)
}

// adopt takes up r, which the store shows as locked for long and the oldest of
// its key. It reports whether nobody worked on it.
func (q *queue) adopt(r Record) bool {
	l := q.lanes[r.Key]
	if l != nil {
		if l.state == blocked {
			q.unblock(l) // the head that failed is gone
		}
		return false
	}
	if q.repeats(r) {
		return false
	}
	l = q.open(r.Key)
	l.begin(q, r)
	l.more = true
	return true
}

// repeats reports whether r was published already. Its delete may be under
// way; but if the store shows it once more at the next look, it is published
// again.
func (q *queue) repeats(r Record) bool {
	if r.Version > q.published.last(r.Key) {
		return false
	}
	q.published.forget(r.Key)
	return true
}
