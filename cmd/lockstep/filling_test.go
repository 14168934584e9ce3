package main

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"lockstep/event"
	"lockstep/listeners"
)

// marksOfOne keeps one mark, and lets others run before it answers.
type marksOfOne struct {
	mu   sync.Mutex
	mark listeners.Mark
}

func (m *marksOfOne) Mark(context.Context, string, event.Subject) (listeners.Mark, error) {
	m.mu.Lock()
	mark := m.mark
	m.mu.Unlock()
	runtime.Gosched()
	return mark, nil
}

func (m *marksOfOne) Store(_ context.Context, mark listeners.Mark) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if mark.Revision != m.mark.Revision {
		return false, nil
	}
	mark.Revision++
	m.mark = mark
	return true, nil
}

// TestAFilledReplicaIsReady: whoever looks at the mark while the comparison
// ends, nobody acts on what it was before.
func TestAFilledReplicaIsReady(t *testing.T) {
	t.Parallel()
	for range 5000 {
		marks := &marksOfOne{}
		f := newFilling(marks, func(context.Context) (int, error) { return 0, nil })
		var looking sync.WaitGroup
		look := func() {
			if _, err := f.begin(t.Context()); err != nil {
				t.Error(err)
			}
		}
		for range 3 {
			looking.Go(look)
			looking.Go(func() { _ = f.check(t.Context()) })
		}
		look()
		f.tried(t.Context(), nil) // the comparison found nothing to be done
		looking.Wait()
		if err := f.check(t.Context()); err != nil || marks.mark.Sequence != fillEnded {
			t.Fatalf("filled, and yet: %v; the mark is %d", err, marks.mark.Sequence)
		}
	}
}
