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
// yet. It outlives generations: what was acknowledged does not come again.
type unstored struct {
	mu        sync.Mutex
	sequences []uint64 // not sorted into spans yet
	spans     Spans
	last      uint64
	sentAt    time.Time // of last
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

// into adds what there is to m and returns it.
func (s *unstored) into(m *Mark) Spans {
	s.mu.Lock()
	defer s.mu.Unlock()
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
