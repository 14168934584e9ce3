package replica_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/replica"
)

// Page makes rows serve as owner and as replica.
func (s *rows) Page(_ context.Context, after string, limit int) ([]replica.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var page []replica.Row
	for _, id := range slices.Sorted(maps.Keys(s.rows)) {
		if id > after && len(page) < limit {
			page = append(page, s.rows[id])
		}
	}
	return page, nil
}

// owner answers as the canonical service does and counts what it is asked.
type owner struct {
	*rows
	mu        sync.Mutex
	pages     int
	trips     int
	snapshots int
	gate      chan struct{} // if set, snapshots wait for it
	public    bool          // it has nothing but its public API
	old       bool          // it is of a release without digests of content
	blind     string        // the record that it cannot read
}

func (o *owner) OnSale(context.Context) iter.Seq2[replica.Row, error] {
	return func(yield func(replica.Row, error) bool) {
		for _, r := range o.rows.rows {
			if r.OrderID == "" && !r.Deleted && r.ID != o.blind && !yield(r, nil) {
				return
			}
		}
	}
}

func (o *owner) Snapshot(ctx context.Context, id string) (replica.Row, error) {
	o.mu.Lock()
	o.snapshots++
	o.mu.Unlock()
	if o.gate != nil {
		<-o.gate
	}
	if o.blind == id {
		return replica.Row{}, replica.ErrUnreadable
	}
	r, err := o.Row(ctx, id)
	if o.public && r.Deleted {
		return replica.Row{}, replica.ErrNotFound
	}
	return r, err
}

func (o *owner) Page(ctx context.Context, after string, limit int) ([]replica.Row, error) {
	o.mu.Lock()
	o.pages++
	o.mu.Unlock()
	if o.public {
		return nil, replica.ErrPublic
	}
	return o.rows.Page(ctx, after, limit)
}

func (o *owner) Ranges(ctx context.Context, after string, size, count int) ([]replica.Range, error) {
	o.mu.Lock()
	o.trips++
	o.mu.Unlock()
	if o.public {
		return nil, replica.ErrPublic
	}
	ranges, err := replica.Pager(o.rows.Page).Ranges(ctx, after, size, count)
	for i := range ranges {
		if o.old {
			ranges[i].Content = 0
		}
	}
	return ranges, err
}

// pair returns an owner with n records of version 3 and an equal replica.
func pair(n int) (*rows, *owner) {
	ours, owners := newRows(), &owner{rows: newRows()}
	for i := range n {
		r := replica.Row{ID: fmt.Sprintf("t%05d", i), Version: 3}
		ours.rows[r.ID], owners.rows.rows[r.ID] = r, r
	}
	return ours, owners
}

func drifts(t *testing.T, v *replica.Verifier) (map[string]replica.Kind, int) {
	t.Helper()
	found, last := map[string]replica.Kind{}, 0
	for d, err := range v.Drifts(t.Context(), func(n int) { last = n }) {
		if err != nil {
			t.Fatalf("Drifts: %v", err)
		}
		found[d.ID] = d.Kind
	}
	return found, last
}

func TestVerifyFindsEveryKindOfDriftAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, owners := pair(5000)
		delete(ours.rows, "t00007")
		delete(ours.rows, "t04999")
		ours.rows["t01500"] = replica.Row{ID: "t01500", Version: 2}
		ours.rows["t03000"] = replica.Row{ID: "t03000", Version: 9}
		ours.rows["t03001"] = replica.Row{ID: "t03001", Version: 3, Deleted: true}
		ours.rows["a"] = replica.Row{ID: "a", Version: 0}
		ours.rows["z"] = replica.Row{ID: "z", Version: 0}
		got, compared := drifts(t, replica.NewVerifier(ours, owners, replica.DefaultGrace))
		want := map[string]replica.Kind{
			"t00007": replica.Missing, "t04999": replica.Missing, "t01500": replica.Behind,
			"t03000": replica.Ahead, "t03001": replica.Differs, "a": replica.Extra, "z": replica.Extra,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("drifts (-want +got):\n%s", diff)
		}
		if compared != 5000 {
			t.Errorf("compared %d records, want 5000", compared)
		}
	})
}

func TestVerifyOfEqualSidesTransfersDigestsOnly(t *testing.T) {
	t.Parallel()
	ours, owners := pair(20_000)
	got, compared := drifts(t, replica.NewVerifier(ours, owners, 0))
	if len(got) != 0 || compared != 20_000 {
		t.Errorf("%d drifts of %d records, want 0 of 20000", len(got), compared)
	}
	if owners.pages != 0 || owners.trips != 1 {
		t.Errorf("%d pages and %d digest trips, want 0 and 1", owners.pages, owners.trips)
	}
}

func TestVerifyDoesNotReportWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, owners := pair(10)
		owners.rows.rows["t00001"] = replica.Row{ID: "t00001", Version: 5}
		owners.rows.rows["t00002"] = replica.Row{ID: "t00002", Version: 4}
		time.AfterFunc(time.Second, func() { // the events arrive; one record has moved on again
			ours.mu.Lock()
			defer ours.mu.Unlock()
			ours.rows["t00001"] = replica.Row{ID: "t00001", Version: 4}
			ours.rows["t00002"] = replica.Row{ID: "t00002", Version: 4}
		})
		if got, _ := drifts(t, replica.NewVerifier(ours, owners, replica.DefaultGrace)); len(got) != 0 {
			t.Errorf("drifts = %v, want none: both rows got on within the grace", got)
		}
	})
}

// TestAPublicOwnerThatCannotReadARecord answers for all others. Case 10.7.
func TestAPublicOwnerThatCannotReadARecord(t *testing.T) {
	t.Parallel()
	ours, owners := pair(5)
	owners.public, owners.blind = true, "t00001"
	delete(ours.rows, "t00003")
	got, _ := drifts(t, replica.NewVerifier(ours, owners, time.Millisecond))
	if len(got) != 2 || got["t00001"] != replica.Unreadable || got["t00003"] != replica.Missing {
		t.Errorf("drifts = %v, want one that cannot be read, and one missing", got)
	}
}

func TestVerifyOfAnEmptyReplica(t *testing.T) {
	t.Parallel()
	_, owners := pair(30_000) // more than the suspects held at once
	got, _ := drifts(t, replica.NewVerifier(newRows(), owners, 0))
	if len(got) != 30_000 {
		t.Errorf("%d drifts, want all 30000 records missing", len(got))
	}
}

func TestRepairMovesForwardOnly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ours, owners *replica.Row
		want         int64
		err          error
	}{
		"missing":       {nil, &replica.Row{ID: "a", Version: 4, Title: "now"}, 4, nil},
		"behind":        {&replica.Row{ID: "a", Version: 1}, &replica.Row{ID: "a", Version: 4}, 4, nil},
		"equal":         {&replica.Row{ID: "a", Version: 4}, &replica.Row{ID: "a", Version: 4}, 4, nil},
		"ahead":         {&replica.Row{ID: "a", Version: 5}, &replica.Row{ID: "a", Version: 4}, event.None, replica.ErrAhead},
		"never existed": {nil, nil, event.None, replica.ErrNotFound},
		"deleted":       {&replica.Row{ID: "a", Version: 1}, &replica.Row{ID: "a", Version: 2, Deleted: true}, 2, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, owners := pair(0)
			if tc.ours != nil {
				ours.rows["a"] = *tc.ours
			}
			if tc.owners != nil {
				owners.rows.rows["a"] = *tc.owners
			}
			got, err := replica.NewRepairer(ours, owners, replica.RepairOptions{}).Repair(t.Context(), "a", replica.ByGap)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Fatalf("Repair = %d, %v, want %d, %v", got, err, tc.want, tc.err)
			}
			if err == nil {
				if diff := cmp.Diff(*tc.owners, ours.rows["a"]); diff != "" {
					t.Errorf("row (-want +got):\n%s", diff)
				}
			} else if tc.ours != nil && ours.rows["a"] != *tc.ours {
				t.Errorf("row changed to %+v by a repair that was refused", ours.rows["a"])
			}
		})
	}
}

func TestRepairsOfOneRecordShareASnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, owners := pair(0)
		owners.rows.rows["a"] = replica.Row{ID: "a", Version: 4}
		owners.gate = make(chan struct{})
		r := replica.NewRepairer(ours, owners, replica.RepairOptions{})
		first, giveUp := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Repair(first, "a", replica.ByGap); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that gave up: %v, want its context's error", err)
			}
		})
		synctest.Wait()
		for range 7 {
			wg.Go(func() {
				if v, err := r.Repair(t.Context(), "a", replica.ByGap); v != 4 || err != nil {
					t.Errorf("Repair = %d, %v, want version 4", v, err)
				}
			})
		}
		synctest.Wait()
		giveUp()
		synctest.Wait()
		close(owners.gate)
		wg.Wait()
		if owners.snapshots != 1 {
			t.Errorf("%d snapshots for eight callers, want 1", owners.snapshots)
		}
	})
}

func TestRepairsAreRateLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, owners := pair(100)
		clear(ours.rows)
		r := replica.NewRepairer(ours, owners, replica.RepairOptions{PerSecond: 10, Burst: 1})
		start := time.Now()
		for i := range 51 {
			if _, err := r.Repair(t.Context(), fmt.Sprintf("t%05d", i), replica.ByLoss); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("51 repairs at 10 a second took %v, want about 5 s", took)
		}
	})
}
