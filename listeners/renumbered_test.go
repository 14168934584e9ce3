package listeners_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/listeners"
)

func TestChannelThatBeganAnewIsNoticed(t *testing.T) {
	t.Parallel()
	for name, versions := range map[string]int64{
		"still empty": 0, "shorter than before": 3, "longer than before": 25,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t) // keeps its channels in memory
			var found losses
			m := w.join(t, w.watching(&found))
			w.history(t, ticketID(0), 10)
			w.settled(t, 1, 10)
			m.stop()
			w.restart(t)
			if versions > 0 {
				w.history(t, ticketID(1), versions)
			}
			w.join(t, w.watching(&found))
			want := []listeners.Loss{{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 11, Missing: 1, Cause: listeners.Renumbered}}
			if diff := cmp.Diff(want, found.of()); diff != "" {
				t.Errorf("losses (-want +got):\n%s", diff)
			}
			if versions > 0 {
				w.reaches(t, ticketID(1), versions)
			}
		})
	}
}

// lagging stores marks only while it is open.
type lagging struct {
	listeners.Marks
	open   atomic.Bool
	stored atomic.Int64
}

func (l *lagging) Store(ctx context.Context, m listeners.Mark) (bool, error) {
	if !l.open.Load() {
		return false, nil
	}
	stored, err := l.Marks.Store(ctx, m)
	l.stored.Add(1)
	return stored, err
}

// Case 10.5: a member that stores late what it saw of a channel that is no more
// does not make the mark reach beyond its successor. Everything would be read
// again then, at the next join, and applied over rows that were moved back since.
func TestAMarkOfAChannelThatBeganAnewHoldsNothingOfTheOldOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // keeps its channels in memory
	var found losses
	late := &lagging{Marks: w.db.Marks()}
	late.open.Store(true)
	two := w.join(t, w.watchingWith(&found, late, 10*time.Millisecond))
	w.history(t, ticketID(0), 10)
	until(t, "a mark is stored", func() bool { return w.mark(t).Sequence == 10 })
	late.open.Store(false)
	for v := range int64(40) {
		w.publish(t, ticket(ticketID(0), 11+v))
	}
	w.settled(t, 1, 50)
	one := w.join(t, w.watching(&found))
	w.restart(t)
	until(t, "the mark begins anew", func() bool { return w.mark(t).Renumbered == 1 })
	late.open.Store(true)
	w.history(t, ticketID(1), 0)
	late.stored.Store(0)
	n := int64(0)
	until(t, "both members stored what they saw", func() bool {
		n++
		w.publish(t, ticket(ticketID(1), n))
		w.reaches(t, ticketID(1), n)
		return late.stored.Load() > 0 && w.mark(t).Sequence > 5
	})
	until(t, "the mark has all of it", func() bool { return w.mark(t).Sequence == uint64(n) })
	two.stop()
	one.stop()
	w.join(t, w.watching(&found))
	if losses := len(found.of()); losses != 1 || w.mark(t).Last != uint64(n) {
		t.Errorf("%d losses and a mark at %d, want one of a channel of %d that began anew once", losses, w.mark(t).Last, n)
	}
}
