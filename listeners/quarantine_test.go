package listeners

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/event"
)

// counted is a quarantine that takes a while to be counted.
type counted struct {
	Quarantine
	takes  time.Duration
	fails  atomic.Bool
	counts atomic.Int64
}

func (q *counted) Size(context.Context, string) (Size, error) {
	time.Sleep(q.takes)
	q.counts.Add(1)
	if q.fails.Load() {
		return Size{}, errors.New("the store is gone")
	}
	return Size{Messages: 500_000, Bytes: 1 << 30}, nil
}

func (q *counted) Get(context.Context, string) (Quarantined, error) {
	if q.fails.Load() {
		return Quarantined{}, errors.New("the store is gone")
	}
	return Quarantined{}, ErrNotFound
}

// Case 11.10: a store that goes is noticed before the next count.
func TestAQuarantineIsUnknownOnceTheStoreGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{takes: 5 * time.Second} // the next count is a minute away
		q := newQuarantine(store, Options{Group: "g", Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { q.watch(ctx) })
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if store.counts.Load() != 1 || !q.known.Load() {
			t.Errorf("%d counts, known: %t; want one that stands", store.counts.Load(), q.known.Load())
		}
		store.fails.Store(true)
		time.Sleep(countEvery)
		synctest.Wait()
		if q.known.Load() {
			t.Error("what is in quarantine is known without the store")
		}
		cancel()
		watching.Wait()
	})
}

func (q *counted) Remove(_ context.Context, ids []string) (int, error) { return len(ids), nil }

// TestADiscardMakesRoomSoon: what it freed is not known before the next count, which
// may be a minute away. Case 11.5.
func TestADiscardMakesRoomSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{takes: 5 * time.Second}
		q := newQuarantine(store, Options{Group: "g", Log: slog.New(slog.DiscardHandler)})
		l := &Listener{quarantine: q, opts: Options{Group: "g"}, handler: &guard{Handler: NewTickets(nil, event.Scheme{})}}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { q.watch(ctx) })
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if n, err := l.Discard(ctx, []Quarantined{{ID: "q", Group: "g", Subject: event.TicketCreated}}); n != 1 || err != nil || store.counts.Load() != 1 {
			t.Fatalf("discarded %d, %v, after %d counts; want one after one", n, err, store.counts.Load())
		}
		time.Sleep(countEvery + store.takes)
		synctest.Wait()
		if store.counts.Load() != 2 {
			t.Errorf("%d counts, want another one at once", store.counts.Load())
		}
		cancel()
		watching.Wait()
	})
}

// Case 11.5: 500,000 entries cost an idle process 58 % of a core. However long a
// count takes, it takes a hundredth of the time; one that failed is not put off.
func TestALargeQuarantineIsCountedNowAndThen(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		takes time.Duration
		fails bool
		want  int64 // counts in ten minutes
	}{
		"a small one":          {time.Millisecond, false, 120},
		"a large one":          {300 * time.Millisecond, false, 20},
		"one without a store":  {10 * time.Second, true, 40},
		"an overwhelming one ": {5 * time.Second, false, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &counted{takes: tc.takes}
				store.fails.Store(tc.fails)
				q := newQuarantine(store, Options{Group: "g", Log: slog.New(slog.DiscardHandler)})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var watching sync.WaitGroup
				watching.Go(func() { q.watch(ctx) })
				watching.Wait()
				if n := store.counts.Load(); n < tc.want-1 || n > tc.want+1 {
					t.Errorf("counted %d times in ten minutes, want about %d", n, tc.want)
				}
			})
		})
	}
}

// Case 11.10: what is in quarantine reads 0 before it was counted, and what it was
// once nobody can count it.
func TestAQuarantineThatCannotBeCountedIsUnknown(t *testing.T) {
	t.Parallel()
	store := &counted{}
	q := newQuarantine(store, Options{Group: "g"})
	l := &Listener{quarantine: q}
	for _, tc := range []struct {
		what  string
		fails bool
		count bool
		want  float64
	}{
		{"before the first count", false, false, math.NaN()}, {"after a count", false, true, 500_000},
		{"without the store", true, true, math.NaN()}, {"with the store again", false, true, 500_000},
	} {
		if store.fails.Store(tc.fails); tc.count {
			_ = q.count(t.Context()) // its error is what is tried
		}
		if got := l.state().quarantined; got != tc.want && !(math.IsNaN(got) && math.IsNaN(tc.want)) {
			t.Errorf("%s the gauge shows %v, want %v", tc.what, got, tc.want)
		}
	}
}
