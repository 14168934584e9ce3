package outbox

// lane holds the waiting events of one key. At most one of them, its head, is
// with the publisher.
type lane struct {
	key     string
	state   laneState
	waiting fifo[Record] // in version order; the oldest is the head
	last    int64        // highest version that was published, event.None if none is known

	// more: the store holds, or may hold, records of this key behind those
	// waiting here. They are read when the lane runs empty.
	more bool

	page     int         // how many records the next read asks for
	repeated int         // how often the head was sent again in place
	why      error       // why the head is in doubt
	listed   bool        // the queue's list of blocked lanes has it
	done     func(error) // what the publisher calls; made by the dispatcher
}

// laneState says what a lane waits for.
type laneState int

const (
	ready    laneState = iota + 1 // for its turn
	flying                        // for the broker's answer to its head
	doubtful                      // to learn whether its unanswered head was lost with the connection
	loading                       // for its records from the store; it has none
	failing                       // for the failure of its head to be recorded
	blocked                       // for the retry job or an operator; it has no records
	claimed                       // for the retry job to lock its head again; it has no records
)

// tail returns the highest version that is published or waits here.
func (l *lane) tail() int64 {
	if newest := l.waiting.newest(); newest != nil {
		return newest.Version
	}
	return l.last
}

// append adds r unless the lane is full or r was unlocked by a failure: then
// it is left in the store until the lane has run empty. It reports whether r
// was added.
func (l *lane) append(r *Record, limit int) bool {
	if !r.Locked || l.waiting.len() >= limit {
		l.more = true
		return false
	}
	l.waiting.push(*r)
	return true
}

// pop removes the head.
func (l *lane) pop() Record {
	l.repeated = 0
	return l.waiting.pop()
}
