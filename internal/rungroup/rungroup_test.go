package rungroup

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// diary holds what has stopped, in order.
type diary struct {
	mu    sync.Mutex
	names []string
}

func (d *diary) note(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names = append(d.names, name)
}

// part returns a part that takes a while to stop and notes when it has.
func (d *diary) part(name string, takes time.Duration) Part {
	return func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(takes) // of synctest's clock
		d.note(name)
		return nil
	}
}

func TestStagesStopInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got diary
		var g Group
		g.Stage("doors", got.part("slow door", 2*time.Second), got.part("door", time.Second))
		g.Stage("relay", got.part("relay", 0))
		g.OnStop("store", func() error { got.note("store"); return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Run(ctx, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got.names, []string{"door", "slow door", "relay", "store"}); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAPartThatEndsEndsTheGroup(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, ended := range []error{broken, nil} {
		synctest.Test(t, func(t *testing.T) {
			var got diary
			var g Group
			g.Stage("door", got.part("door", 0))
			g.Stage("relay", func(context.Context) error { return ended })
			err := g.Run(t.Context(), time.Second)
			if err == nil || !strings.HasPrefix(err.Error(), "relay: ") {
				t.Errorf("error = %v, want one of the relay", err)
			}
			if ended != nil && !errors.Is(err, ended) {
				t.Errorf("error = %v, want %v", err, ended)
			}
			if len(got.names) != 1 {
				t.Error("the door was not stopped")
			}
		})
	}
}

func TestAStopEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got diary
		var g Group
		g.Stage("door", got.part("door", 0))
		g.Stage("relay", got.part("relay", time.Hour))
		g.Stage("store", got.part("store", 0))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		err := g.Run(ctx, 9*time.Second)
		if err == nil || !strings.Contains(err.Error(), "relay, store") {
			t.Errorf("error = %v, want one that names relay and store", err)
		}
		if took := time.Since(began); took != 9*time.Second {
			t.Errorf("took %v", took)
		}
		for _, s := range g.stages {
			s.cancel()
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestErrorsOfAStopAreReported(t *testing.T) {
	t.Parallel()
	torn := errors.New("torn")
	var g Group
	g.OnStop("store", func() error { return torn })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Run(ctx, time.Second); !errors.Is(err, torn) {
		t.Errorf("error = %v, want %v", err, torn)
	}
}
