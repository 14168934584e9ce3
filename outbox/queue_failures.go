package outbox

import "time"

// putBack makes the head of l wait again as if it had not been sent.
func (q *queue) putBack(l *lane) {
	q.flying--
	q.queueUp(l)
}

// doubt sets l aside: its head was sent and not answered.
func (q *queue) doubt(l *lane) {
	q.flying--
	l.state = doubtful
	q.doubtful = append(q.doubtful, l)
}

// oldestSent returns when the oldest of the events occurred that were sent and
// not confirmed; the zero time if there are none.
func (q *queue) oldestSent() (oldest time.Time) {
	for _, l := range q.lanes {
		if l.state != flying && l.state != doubtful {
			continue
		}
		if at := l.waiting.oldest().OccurredAt; oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	return oldest
}

// resolve ends all doubts: the heads are sent again. With a healthy connection
// that is done up to inPlace times; the lanes it returns have had that many and
// count as flying until fail is called for them.
func (q *queue) resolve(healthy bool, inPlace int) []*lane {
	var failed []*lane
	for _, l := range q.doubtful {
		if healthy {
			l.repeated++
		}
		if l.repeated > inPlace {
			l.state = flying
			q.flying++
			failed = append(failed, l)
			continue
		}
		q.queueUp(l)
	}
	q.doubtful = nil
	return failed
}

// fail drops the records of l, whose head is to be recorded as failed, and
// returns the head.
func (q *queue) fail(l *lane) Record {
	q.flying--
	head := *l.waiting.oldest()
	for l.waiting.len() > 0 {
		r := l.waiting.pop()
		q.remove(&r)
	}
	l.repeated = 0
	l.state = failing
	q.failing++
	q.blocked++
	return head
}

// failed ends the recording of a failure. The lane is blocked, or read again
// if its head is gone.
func (q *queue) failed(l *lane, gone bool) {
	q.failing--
	q.blocked--
	if gone {
		q.load(l, q.perKey)
		return
	}
	q.block(l)
}

func (q *queue) block(l *lane) {
	l.state = blocked
	q.blocked++
	if !l.listed {
		l.listed = true
		q.stuck.push(l)
	}
}
