package mongodb

import (
	"math"
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
	mu     sync.Mutex
	open   map[*tail]bool
	silent time.Time // the last answer of a stream that died; zero once there is another one, or none is wanted
	broken bool      // it ended of itself, and somebody wants another
	tried  time.Time // when that was noticed, or another one was last tried
}

const (
	// quiet is how long a stream that lives says nothing at most. A lease is
	// lost, and the tail closed, about three seconds after a server froze.
	quiet = 2500 * time.Millisecond

	// wanted is how long after the last try a stream counts as wanted.
	wanted = time.Minute
)

func newTails() *tails { return &tails{open: map[*tail]bool{}} }

func (s *tails) add(t *tail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[t] = true
	s.silent, s.broken = time.Time{}, false
}

// remove forgets a tail that is closed. If its stream is dead, its age goes on.
func (s *tails) remove(t *tail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
	ticked := time.Unix(0, t.ticked.Load())
	if dead := t.died.Load(); dead || time.Since(ticked) > quiet {
		s.silent, s.broken, s.tried = ticked, dead, time.Now()
	}
}

// failed notes that a stream was wanted and could not be opened.
func (s *tails) failed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = time.Now()
}

// answered notes that the server answers: if none is wanted, none is dead.
func (s *tails) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.broken || time.Since(s.tried) > wanted {
		s.silent = time.Time{}
	}
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
// for longest, also of one that died and has no successor yet; NaN if there is
// none.
func (s *tails) age() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.silent
	for t := range s.open {
		if at := time.Unix(0, t.ticked.Load()); oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	if oldest.IsZero() {
		return math.NaN()
	}
	return time.Since(oldest).Seconds()
}
