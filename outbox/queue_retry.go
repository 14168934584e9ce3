package outbox

// claim reserves the key of r, which is unlocked and due in the store, for its
// retry. It reports false if somebody works on the key already.
func (q *queue) claim(r Record) bool {
	l := q.lanes[r.Key]
	switch {
	case l == nil && !q.repeats(r):
		l = q.open(r.Key)
	case l != nil && l.state == blocked && r.Version > l.last:
		q.blocked--
	default:
		return false
	}
	l.state = claimed
	return true
}

// retry puts r, which was claimed, back into its turn if it was locked again.
// Otherwise it is gone, and its key is read.
func (q *queue) retry(r Record, locked bool) {
	l := q.lanes[r.Key]
	if !locked {
		q.load(l, q.perKey)
		return
	}
	r.Locked = true
	l.begin(q, &r)
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
	l.begin(q, &r)
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
