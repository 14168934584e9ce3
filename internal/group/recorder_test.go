package group

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
)

// recorder is a flush that takes a while and remembers its batches.
type recorder struct {
	took time.Duration
	fail func(item string) error

	mu      sync.Mutex
	batches [][]string
	running map[string]bool // keys of the batches under way
	broken  []string        // violations seen
}

func (r *recorder) flush(_ context.Context, batch []string) []error {
	r.begin(batch)
	<-time.After(r.took)
	r.end(batch)
	errs := make([]error, len(batch))
	for i, item := range batch {
		if r.fail != nil {
			errs[i] = r.fail(item)
		}
	}
	return errs
}

func (r *recorder) begin(batch []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, slices.Clone(batch))
	for _, item := range batch {
		for _, k := range keysOf(item) {
			if r.running[k] {
				r.broken = append(r.broken, item)
			}
			r.running[k] = true
		}
	}
}

func (r *recorder) end(batch []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, item := range batch {
		for _, k := range keysOf(item) {
			delete(r.running, k)
		}
	}
}

func newRecorder(took time.Duration) *recorder {
	return &recorder{took: took, running: map[string]bool{}}
}

// keysOf reads the keys out of "a+b/1".
func keysOf(item string) []string {
	keys, _, _ := strings.Cut(item, "/")
	return strings.Split(keys, "+")
}

// queueUp starts one caller per item, in order, and returns their results.
func queueUp(ctx context.Context, c *Committer[string], items ...string) (wait func() map[string]error) {
	var (
		mu      sync.Mutex
		wg      sync.WaitGroup
		results = map[string]error{}
	)
	for _, item := range items {
		wg.Go(func() {
			err := c.Do(ctx, item)
			mu.Lock()
			defer mu.Unlock()
			results[item] = err
		})
		synctest.Wait()
	}
	return func() map[string]error {
		wg.Wait()
		return results
	}
}
