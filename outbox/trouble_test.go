package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/event"
	"lockstep/outbox"
)

// shaky is a store whose calls all fail twice before one succeeds.
type shaky struct {
	*shelf
	calls map[string]int
}

var errShaky = errors.New("the store is having a bad day")

func (s *shaky) fails(call string) (err error) {
	s.set(func() {
		if s.calls[call]++; s.calls[call]%3 != 0 {
			err = errShaky
		}
	})
	return err
}

func (s *shaky) Tail(ctx context.Context) (outbox.Tail, error) {
	if err := s.fails("tail"); err != nil {
		return nil, err
	}
	return s.shelf.Tail(ctx)
}

func (s *shaky) Key(ctx context.Context, key string, after int64, limit int) ([]outbox.Record, error) {
	if err := s.fails("key"); err != nil {
		return nil, err
	}
	return s.shelf.Key(ctx, key, after, limit)
}

func (s *shaky) Delete(ctx context.Context, refs []outbox.Ref) error {
	if err := s.fails("delete"); err != nil {
		return err
	}
	return s.shelf.Delete(ctx, refs)
}

func (s *shaky) Fail(ctx context.Context, id string, f outbox.Failure, notBefore time.Time) (outbox.Record, error) {
	if err := s.fails("fail"); err != nil {
		return outbox.Record{}, err
	}
	return s.shelf.Fail(ctx, id, f, notBefore)
}

func (s *shaky) Due(ctx context.Context, now, latest time.Time, limit int) ([]outbox.Record, error) {
	if err := s.fails("due"); err != nil {
		return nil, err
	}
	return s.shelf.Due(ctx, now, latest, limit)
}

func (s *shaky) Relock(ctx context.Context, ids []string, at time.Time) ([]string, error) {
	if err := s.fails("relock"); err != nil {
		return nil, err
	}
	return s.shelf.Relock(ctx, ids, at)
}

func TestAStoreThatFailsIsTriedAgainUntilItDoesNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := &shaky{newShelf(), map[string]int{}}, newBus()
		b.verdict = refuse("a:3:ticket:updated")
		s.commit(tickets("a", 10)...)
		stop := start(t, s, b, func(o *outbox.Options) { o.PerKey = 2 })
		after(10 * time.Second)
		b.set(func() { b.verdict = nil })
		after(time.Minute)
		stop()
		wantStored(t, b, ids(tickets("a", 10))...)
		wantEmpty(t, s.shelf)
		for _, call := range []string{"tail", "key", "delete", "fail", "due", "relock"} {
			if s.calls[call] < 3 {
				t.Errorf("%s was called %d times, want it tried again", call, s.calls[call])
			}
		}
	})
}

func TestEventsThatFailedTogetherDoNotComeBackTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.verdict = func(event.Event) error { return event.ErrRejected }
		for i := range 100 {
			s.commit(change(fmt.Sprint("k", i), 0))
		}
		stop := start(t, s, b)
		after(100 * time.Millisecond)
		times := map[time.Time]bool{}
		for _, r := range s.waiting() {
			times[r.NotBefore] = true
		}
		if len(times) < 50 {
			t.Errorf("100 events that failed together are due at %d times, want them scattered", len(times))
		}
		stop()
	})
}

// stalled is a broker on whose first event the process comes to a stand.
type stalled struct {
	*bus
	stand func()
}

func (s stalled) Publish(e event.Event, done func(error)) {
	s.stand()
	s.bus.Publish(e, done)
}

func TestAProcessThatWasPausedGoesOnWithNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		s.noRenew = errors.New("paused")
		for i := range 10 {
			s.commit(change(fmt.Sprint("k", i), 0))
		}
		paused := func() { time.Sleep(2 * ttl) } // of synctest's clock
		stop := start(t, s, stalled{b, sync.OnceFunc(paused)})
		after(ttl + time.Second)
		s.steal(time.Hour)
		after(time.Minute)
		if got := b.ids(); len(got) != 1 {
			t.Errorf("published %v, want only the one that was on its way", got)
		}
		stop()
	})
}
