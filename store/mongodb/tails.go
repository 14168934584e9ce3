package mongodb

import (
	"sync"
	"time"

	"lockstep/outbox"
)

// hints is how many commits a tail may be behind, and hintBytes how large their
// events may be, before it is left to hear of further ones from its stream alone.
const (
	hints     = 16
	hintBytes = 256 << 10
)

// tails knows the open tails of this process and tells them of its commits.
type tails struct {
	mu   sync.Mutex
	open map[*tail]bool
}

func newTails() *tails { return &tails{open: map[*tail]bool{}} }

func (s *tails) add(t *tail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[t] = true
}

func (s *tails) remove(t *tail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
}

// hint hands the events of a batch that was committed to the open tails. It
// waits for nobody: what a busy tail misses comes from its stream.
func (s *tails) hint(batch []*change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) == 0 {
		return
	}
	var records []outbox.Record
	size := 0
	for _, c := range batch {
		for _, e := range c.events {
			records, size = append(records, newEventDoc(e, c.at).record()), size+len(e.Payload)
		}
	}
	if len(records) == 0 || size > hintBytes {
		return
	}
	for t := range s.open {
		select {
		case t.hints <- outbox.Wake{Source: outbox.FromCommit, Records: records}:
		default:
		}
	}
}

// age returns the seconds since the last answer of the stream that is quiet
// for longest.
func (s *tails) age() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := 0.0
	for t := range s.open {
		oldest = max(oldest, time.Since(time.Unix(0, t.ticked.Load())).Seconds())
	}
	return oldest
}
