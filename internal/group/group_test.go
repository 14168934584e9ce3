package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoneCallerWaitsForNoOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(0)
		c := New(r.flush, Options[string]{})
		defer c.Close()
		start := time.Now()
		if err := c.Do(t.Context(), "a/1"); err != nil {
			t.Fatalf("Do: %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("a lone caller waited %v, want no wait", took)
		}
	})
}

func TestCallersThatWaitShareTheNextFlush(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]func(string) []string{"unrelated": nil, "keys": keysOf} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(time.Second)
				c := New(r.flush, Options[string]{MaxBatch: 3, Keys: keys})
				defer c.Close()
				queueUp(t.Context(), c, "a/1", "b/1", "c/1", "d/1", "e/1", "f/1")()
				want := [][]string{{"a/1"}, {"b/1", "c/1", "d/1"}, {"e/1", "f/1"}}
				if diff := cmp.Diff(want, r.batches); diff != "" {
					t.Errorf("batches (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestItemsWithACommonKeyNeverShareABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(time.Second)
		c := New(r.flush, Options[string]{Keys: keysOf})
		defer c.Close()
		queueUp(t.Context(), c, "x/0", "a/1", "a+b/2", "b/3", "c/4", "a/5")()
		// b/3 shares no key with a/1 but must not overtake a+b/2.
		want := [][]string{{"x/0"}, {"a/1", "c/4"}, {"a+b/2"}, {"b/3", "a/5"}}
		if diff := cmp.Diff(want, r.batches); diff != "" {
			t.Errorf("batches (-want +got):\n%s", diff)
		}
	})
}

func TestSeveralFlushersKeepTheOrderOfAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(time.Second)
		c := New(r.flush, Options[string]{Keys: keysOf, Flushers: 3})
		defer c.Close()
		var items []string
		for i := range 30 {
			items = append(items, fmt.Sprintf("%c/%02d", 'a'+i%4, i))
		}
		start := time.Now()
		queueUp(t.Context(), c, items...)()
		last := map[string]string{}
		for _, item := range slices.Concat(r.batches...) {
			k := keysOf(item)[0]
			if n := item[len(k):]; n < last[k] {
				t.Errorf("%s was flushed after %s", item, last[k])
			} else {
				last[k] = n
			}
		}
		if len(r.broken) > 0 {
			t.Errorf("flushed beside an item of the same key: %v", r.broken)
		}
		if took := time.Since(start); took != 8*time.Second {
			t.Errorf("30 items of 4 keys took %v with 3 flushers, want the 8 s that the longest key needs", took)
		}
	})
}

func TestCallerThatGivesUpWhileQueuedIsTakenOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(time.Minute)
		c := New(r.flush, Options[string]{Keys: keysOf})
		defer c.Close()
		first := queueUp(t.Context(), c, "a/1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		second := queueUp(ctx, c, "a/2")
		third := queueUp(t.Context(), c, "a/3")
		start := time.Now()
		if err := second()["a/2"]; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller that gave up got %v, want its deadline", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("the caller that gave up was kept for %v, want 1s", took)
		}
		if err := errors.Join(first()["a/1"], third()["a/3"]); err != nil {
			t.Errorf("the others got %v, want success", err)
		}
		if diff := cmp.Diff([][]string{{"a/1"}, {"a/3"}}, r.batches); diff != "" {
			t.Errorf("batches (-want +got):\n%s", diff)
		}
	})
}

// Case 10.21: nobody waits past the own deadline, and nobody takes an outcome
// that is not known for a failure.
func TestCallerThatGivesUpDuringItsFlushIsToldSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type ctxKey struct{}
		flushed := 0
		c := New(func(ctx context.Context, batch []string) []error {
			<-time.After(time.Minute)
			if ctx.Value(ctxKey{}) == nil || ctx.Err() != nil {
				t.Error("the flush lacks the caller's values, or has its end")
			}
			flushed += len(batch)
			return make([]error, len(batch))
		}, Options[string]{})
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), ctxKey{}, 1), time.Second)
		defer cancel()
		start := time.Now()
		if err := c.Do(ctx, "a/1"); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do: %v, want that the outcome is unknown, and the deadline", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("Do returned after %v, want its deadline", took)
		}
		c.Close()
		if flushed != 1 {
			t.Errorf("%d items were flushed, want the one that was under way", flushed)
		}
	})
}

func TestInlineOnlyTheFirstOfABatchWaitsForItsFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(time.Minute)
		c := New(r.flush, Options[string]{Inline: true})
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		start := time.Now()
		alone := queueUp(t.Context(), c, "a")
		leader, member := queueUp(t.Context(), c, "b"), queueUp(ctx, c, "c")
		if err := member()["c"]; !errors.Is(err, ErrUnknown) || time.Since(start) != 90*time.Second {
			t.Errorf("a member that gave up was told %v after %v, want that its outcome is unknown, at its deadline", err, time.Since(start))
		}
		if err := errors.Join(alone()["a"], leader()["b"]); err != nil || time.Since(start) != 2*time.Minute {
			t.Errorf("the first callers were told %v after %v, want success after both flushes", err, time.Since(start))
		}
		if diff := cmp.Diff([][]string{{"a"}, {"b", "c"}}, r.batches); diff != "" {
			t.Errorf("batches (-want +got):\n%s", diff)
		}
	})
}

// Case 10.17: a panic keeps nobody waiting, and the next flush runs.
func TestPanicOfAFlushIsAnsweredToEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(time.Second)
		r.fail = func(item string) error {
			if item == "b/1" {
				panic("of a test")
			}
			return nil
		}
		c := New(r.flush, Options[string]{Keys: keysOf, Log: slog.New(slog.DiscardHandler)})
		for item, err := range queueUp(t.Context(), c, "x/0", "a/1", "b/1", "b/2")() {
			if unknown := item == "a/1" || item == "b/1"; errors.Is(err, ErrUnknown) != unknown {
				t.Errorf("%s got %v, want unknown %t", item, err, unknown)
			}
		}
		c.Close() // does not wait for a flush that has ended
	})
}

func TestFlushIsBoundedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New(func(ctx context.Context, batch []string) []error {
			<-ctx.Done()
			return []error{ctx.Err()}
		}, Options[string]{Timeout: time.Second})
		defer c.Close()
		if err := c.Do(t.Context(), "a/1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do: %v, want the flush's deadline", err)
		}
	})
}

func TestLoserSpoilsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("lost")
		r := newRecorder(time.Second)
		r.fail = func(item string) error {
			if item == "c/1" {
				return lost
			}
			return nil
		}
		c := New(r.flush, Options[string]{})
		defer c.Close()
		got := queueUp(t.Context(), c, "a/1", "b/1", "c/1", "d/1")()
		for item, err := range got {
			if want := r.fail(item); !errors.Is(err, want) {
				t.Errorf("%s got %v, want %v", item, err, want)
			}
		}
	})
}

func TestWrongNumberOfResultsIsNobodysSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New(func(context.Context, []string) []error { return nil }, Options[string]{})
		defer c.Close()
		if err := c.Do(t.Context(), "a/1"); err == nil {
			t.Error("an item without a result counts as done")
		}
	})
}

func TestCloseDrainsAndThenRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(time.Second)
		c := New(r.flush, Options[string]{Keys: keysOf, Flushers: 2})
		start := time.Now()
		wait := queueUp(t.Context(), c, "a/1", "a/2", "a/3", "b/1")
		c.Close()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("Close returned after %v, want the 3 s that the key of three items needs", took)
		}
		for item, err := range wait() {
			if err != nil {
				t.Errorf("%s got %v, want it flushed before Close returned", item, err)
			}
		}
		if n := len(slices.Concat(r.batches...)); n != 4 {
			t.Errorf("%d items were flushed, want 4", n)
		}
		if err := c.Do(t.Context(), "c/1"); !errors.Is(err, ErrClosed) {
			t.Errorf("Do after Close: %v, want ErrClosed", err)
		}
		c.Close()
	})
}

func TestEndedContextIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(0)
		c := New(r.flush, Options[string]{})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Do(ctx, "a/1"); !errors.Is(err, context.Canceled) {
			t.Errorf("Do: %v, want context.Canceled", err)
		}
		if len(r.batches) > 0 {
			t.Errorf("flushed %v, want nothing", r.batches)
		}
	})
}
