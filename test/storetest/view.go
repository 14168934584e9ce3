package storetest

import (
	"context"
	"slices"
	"testing"

	"lockstep/outbox"
)

func sorted(all []string) []string { return slices.Sorted(slices.Values(all)) }

func openTail(t *testing.T, b Backend) outbox.Tail {
	t.Helper()
	tail, err := b.Outbox.Tail(within(t))
	must(t, "open tail", err)
	t.Cleanup(func() {
		if err := tail.Close(); err != nil {
			t.Errorf("close tail: %v", err)
		}
	})
	return tail
}

// view is what one tail has told.
type view struct {
	tail   outbox.Tail
	seen   map[string]bool  // ids from pages and wakes that are in order
	last   map[string]int64 // by key, from wakes that are in order
	hinted map[string]bool  // ids from other wakes
}

func newView(tail outbox.Tail) *view {
	return &view{tail: tail, seen: map[string]bool{}, last: map[string]int64{}, hinted: map[string]bool{}}
}

// scan reads all pages and returns the ids.
func (v *view) scan(t *testing.T, limit int) []string {
	t.Helper()
	var all []string
	last := map[string]int64{}
	for {
		page, err := v.tail.Scan(within(t), limit)
		must(t, "scan", err)
		if len(page) == 0 {
			return all
		}
		if len(page) > limit {
			t.Fatalf("a page has %d records, want at most %d", len(page), limit)
		}
		for _, r := range page {
			if before, ok := last[r.Key]; ok && r.Version <= before {
				t.Errorf("scan gives version %d of %s after %d", r.Version, r.Key, before)
			}
			last[r.Key] = r.Version
			v.seen[r.ID()] = true
			all = append(all, r.ID())
		}
	}
}

// next waits for one wake, checks its order and returns its ids; a hint, or an
// idle tick, has none.
func (v *view) next(ctx context.Context, t *testing.T) []string {
	t.Helper()
	wake, err := v.tail.Next(ctx)
	must(t, "next", err)
	if !wake.InOrder {
		for _, r := range wake.Records {
			v.hinted[r.ID()] = true
		}
		return nil
	}
	for _, r := range wake.Records {
		before, ok := v.last[r.Key]
		if ok && (r.Version < before || r.Version > before+1) {
			t.Errorf("next gives version %d of %s after %d", r.Version, r.Key, before)
		}
		v.last[r.Key] = r.Version
		v.seen[r.ID()] = true
	}
	return ids(wake.Records)
}

// await reads wakes until all of want were seen.
func (v *view) await(t *testing.T, want ...string) {
	t.Helper()
	ctx := within(t)
	for _, id := range want {
		for !v.seen[id] {
			v.next(ctx, t)
		}
	}
}
