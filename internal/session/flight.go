package session

import "sync"

// maxUnconfirmed is how many publishes the client library may hold without the
// broker's answer. Beyond it the library blocks, so a publish is refused
// before. It is far above any caller's window because an answer that was given
// up here keeps its place there until its time is over.
const maxUnconfirmed = 1 << 16

// flight holds the publishes that wait for the broker's answer and gives each
// of them exactly one.
type flight struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]func(error)
	held    int // publishes the client library has not answered, also those given up here
}

func newFlight() *flight { return &flight{waiting: make(map[uint64]func(error))} }

// add lets answered wait; false if there is no room.
func (f *flight) add(answered func(error)) (id uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held >= maxUnconfirmed {
		return 0, false
	}
	f.held++
	f.last++
	f.waiting[f.last] = answered
	return f.last, true
}

// settle passes on the client library's one answer.
func (f *flight) settle(id uint64, err error) {
	f.mu.Lock()
	answered, ok := f.waiting[id]
	delete(f.waiting, id)
	f.held--
	f.mu.Unlock()
	if ok {
		answered(err)
	}
}

// giveUp answers everything that waits with err.
func (f *flight) giveUp(err error) {
	f.mu.Lock()
	waiting := f.waiting
	f.waiting = make(map[uint64]func(error))
	f.mu.Unlock()
	for _, answered := range waiting {
		answered(err)
	}
}
