package listeners

import (
	"context"
	"errors"
	"sync"
	"time"

	"lockstep/event"
)

const (
	// markEvery is how often marks are stored.
	markEvery = time.Second

	// markRounds bounds how often a mark is stored again because other members
	// stored theirs meanwhile.
	markRounds = 16
)

// unstored is what of a channel became durable here and is not in the stored mark
// yet. It outlives generations: what was acknowledged does not come again. It
// does not outlive the channel, whose successor counts from one again.
type unstored struct {
	mu         sync.Mutex
	renumbered int64    // of the mark, when a generation joined last
	sequences  []uint64 // not sorted into spans yet
	spans      Spans
	last       uint64
	sentAt     time.Time // of last
}

// join says which channel the sequences to come are of.
func (s *unstored) join(m Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.renumbered != m.Renumbered {
		s.forget()
		s.renumbered = m.Renumbered
	}
}

func (s *unstored) forget() {
	s.sequences, s.spans, s.last, s.sentAt = nil, nil, 0, time.Time{}
}

func (s *unstored) add(sequence uint64, sentAt time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sequences = append(s.sequences, sequence)
	if sequence > s.last {
		s.last, s.sentAt = sequence, sentAt
	}
}

func (s *unstored) addSpans(spans Spans) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans = s.spans.with(spans)
}

// into adds what there is to m and returns it. Nothing is left of a channel that
// has begun anew.
func (s *unstored) into(m *Mark) Spans {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.renumbered != m.Renumbered {
		s.forget()
		return nil
	}
	s.spans = s.spans.with(spansOf(s.sequences))
	s.sequences = s.sequences[:0]
	m.add(s.spans)
	if s.last > m.Last {
		m.Last, m.SentAt = s.last, s.sentAt
	}
	return s.spans
}

// stored forgets what is in the stored mark.
func (s *unstored) stored(spans Spans) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans = s.spans.without(spans)
}

func (s *unstored) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sequences) == 0 && len(s.spans) == 0
}

// keepMarks stores the marks until ctx ends.
func (l *Listener) keepMarks(ctx context.Context) {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.storeMarks(ctx)
		}
	}
}

func (l *Listener) storeMarks(ctx context.Context) {
	if l.opts.Marks == nil {
		return
	}
	for _, subject := range l.handler.Subjects() {
		if err := l.storeMark(ctx, subject); err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "mark of a channel is not stored and tried again", "subject", subject, "err", err)
		}
	}
}

// joinMarks takes note of which channels the next generation reads.
func (l *Listener) joinMarks(ctx context.Context) error {
	for subject, s := range l.unstored {
		m, err := l.opts.Marks.Mark(ctx, l.opts.Group, subject)
		if err != nil {
			return err
		}
		s.join(m)
	}
	return nil
}

// errMarkContended: other members stored theirs in every round.
var errMarkContended = errors.New("other members keep storing the same mark")

func (l *Listener) storeMark(ctx context.Context, subject event.Subject) error {
	s := l.unstored[subject]
	if s.empty() {
		return nil
	}
	for range markRounds {
		m, err := l.opts.Marks.Mark(ctx, l.opts.Group, subject)
		if err != nil {
			return err
		}
		spans := s.into(&m)
		if len(spans) == 0 {
			return nil
		}
		stored, err := l.opts.Marks.Store(ctx, m)
		if err != nil {
			return err
		}
		if stored {
			s.stored(spans)
			return nil
		}
	}
	return errMarkContended
}
