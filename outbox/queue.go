package outbox

import "lockstep/event"

// queue decides what may be published next: per key in version order and one
// at a time, across keys in turn. It is plain data, belongs to one goroutine
// and does nothing by itself.
//
// The store is the truth, and what is here a bounded window on it: records
// that do not fit are dropped and their lane is marked, to be read again.
type queue struct {
	limits
	lanes    map[string]*lane
	ready    fifo[*lane] // lanes in state ready, in turn
	loads    fifo[*lane] // lanes in state loading whose read has not begun
	doubtful []*lane
	stuck    fifo[*lane] // lanes that are blocked, or were; see lane.listed

	flying  int // events with the publisher
	records int // events in memory: waiting or with the publisher
	bytes   int // of their payloads
	deletes int // events published and not yet deleted
	failing int // failures being recorded
	blocked int // lanes in state blocked or failing

	published *versions
}

// limits bound a queue.
type limits struct {
	window    int // events with the publisher
	perKey    int // events of one key in memory
	memory    int // events in memory
	undeleted int // events published and not yet deleted
	bytes     int // bytes of payload in memory
	blocked   int // keys that may be blocked before everything pauses
}

func newQueue(l limits) *queue {
	// What is published and not yet deleted must not be forgotten, or a second
	// look at the store would publish it again.
	return &queue{limits: l, lanes: map[string]*lane{}, published: newVersions(max(l.memory+l.undeleted, 32<<10))}
}

// hasRoom reports whether the queue takes more records.
func (q *queue) hasRoom() bool {
	return q.holdsMore() && q.blocked < q.limits.blocked
}

func (q *queue) holdsMore() bool {
	return q.records < q.limits.memory && q.deletes < q.limits.undeleted && q.bytes < q.limits.bytes
}

// offer takes a record that the tail reported and tells whether it was news
// that can be published in its turn. A record that is not inOrder is taken
// only if it is provably the next of its key.
func (q *queue) offer(r *Record, inOrder bool) bool {
	l := q.lanes[r.Key]
	if l == nil {
		last := q.published.last(r.Key)
		if r.Version <= last || !inOrder && !follows(r, last) {
			return false
		}
		return q.open(r.Key).begin(q, r)
	}
	switch l.state {
	case loading, failing, blocked, claimed:
		l.more = true // whatever is being read may not have it
		return false
	}
	if l.more || r.Version <= l.tail() || !inOrder && !follows(r, l.tail()) || !l.append(r, q.perKey) {
		return false
	}
	q.add(r)
	return true
}

// follows reports whether no event of r's key can come between last and r.
func follows(r *Record, last int64) bool {
	return r.Version == event.First || last != event.None && r.Version == last+1
}

// open makes a lane for key.
func (q *queue) open(key string) *lane {
	l := &lane{key: key, last: q.published.last(key)}
	q.lanes[key] = l
	return l
}

// begin puts the first record into an empty lane; an unlocked one blocks it.
func (l *lane) begin(q *queue, r *Record) bool {
	if !l.append(r, q.perKey) {
		q.block(l)
		return false
	}
	q.add(r)
	q.queueUp(l)
	return true
}

// sizeOf returns how many bytes the payloads have.
func sizeOf(records []Record) (bytes int) {
	for i := range records {
		bytes += len(records[i].Payload)
	}
	return bytes
}

func (q *queue) add(r *Record) {
	q.records++
	q.bytes += len(r.Payload)
}

func (q *queue) remove(r *Record) {
	q.records--
	q.bytes -= len(r.Payload)
}

func (q *queue) queueUp(l *lane) {
	l.state = ready
	q.ready.push(l)
}

// next returns a lane whose head is to be published now, or nil.
func (q *queue) next() *lane {
	if q.flying >= q.window || q.blocked >= q.limits.blocked {
		return nil
	}
	l := q.ready.pop()
	if l != nil {
		l.state = flying
		q.flying++
	}
	return l
}

// confirm removes the head of l, which the broker has stored. It counts in
// deletes until the caller has deleted it.
func (q *queue) confirm(l *lane) Record {
	q.flying--
	head := l.pop()
	q.remove(&head)
	q.deletes++
	l.last = head.Version
	q.published.set(l.key, head.Version)
	q.goOn(l)
	return head
}

// goOn finds out what l waits for next.
func (q *queue) goOn(l *lane) {
	switch {
	case l.waiting.len() > 0:
		q.queueUp(l)
	case l.more:
		q.load(l, q.perKey)
	default:
		delete(q.lanes, l.key)
	}
}

// load asks for the records of l, which is empty.
func (q *queue) load(l *lane, page int) {
	l.state, l.page = loading, page
	q.loads.push(l)
}

// nextLoad returns a lane to read from the store now, l.page records above
// l.last, or nil.
func (q *queue) nextLoad() *lane {
	if !q.holdsMore() {
		return nil
	}
	l := q.loads.pop()
	if l != nil {
		l.more = false // from here on, what is dropped may be missing in what is read
	}
	return l
}

// loaded takes what was read for l.
func (q *queue) loaded(l *lane, records []Record) {
	if len(records) >= l.page || sizeOf(records) >= PageBytes {
		l.more = true
	}
	for i := range records {
		r := &records[i]
		if i == 0 && !r.Locked {
			q.block(l)
			return
		}
		if !l.append(r, q.perKey) {
			break
		}
		q.add(r)
	}
	q.goOn(l)
}
