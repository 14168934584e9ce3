package replica_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lockstep/event"
	"lockstep/replica"
)

// rows is a store with the same condition as the real ones. The adapters are
// held to it by their own suite; here thousands of histories are played.
type rows struct {
	mu        sync.Mutex
	rows      map[string]replica.Row
	writes    int
	interfere func(*rows) // called before a write, with the lock held: another member at work
	err       error
}

func newRows() *rows { return &rows{rows: map[string]replica.Row{}} }

func (s *rows) Row(_ context.Context, id string) (replica.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.rows[id]
	if !ok {
		return replica.Row{}, replica.ErrNotFound
	}
	return r, nil
}

func (s *rows) Versions(_ context.Context, ids []string) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]int64{}
	for _, id := range ids {
		if r, ok := s.rows[id]; ok {
			found[id] = r.Version
		}
	}
	return found, nil
}

func (s *rows) Count(context.Context) (int, error) { return len(s.rows), nil }

func (s *rows) Write(_ context.Context, writes []replica.Write) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	if s.interfere != nil {
		s.interfere(s)
	}
	n := 0
	for _, w := range writes {
		r, ok := s.rows[w.Row.ID]
		if !ok && w.From == event.None || ok && r.Version == w.From {
			s.rows[w.Row.ID] = w.Row
			if w.Remove {
				delete(s.rows, w.Row.ID)
			}
			s.writes++
			n++
		}
	}
	return n, nil
}

func change(id string, version int64) event.TicketChange {
	return event.TicketChange{
		Ticket:      event.Ticket{ID: id, Title: fmt.Sprintf("%s at %d", id, version), Price: float64(version), Version: version},
		Predecessor: version - 1,
	}
}

func apply(t *testing.T, p *replica.Projector, changes ...event.TicketChange) []event.Outcome {
	t.Helper()
	got, err := p.Apply(t.Context(), changes)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return got
}

func TestApplyDecidesEachChangeOfABatch(t *testing.T) {
	t.Parallel()
	s := newRows()
	p := replica.NewProjector(s)
	got := apply(t, p, change("a", 2), change("a", 0), change("b", 1), change("a", 1), change("a", 1), change("a", 4))
	want := []event.Outcome{event.Applied, event.Applied, event.Early, event.Applied, event.Duplicate, event.Early}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if r, _ := s.Row(t.Context(), "a"); r.Version != 2 || r.Title != "a at 2" {
		t.Errorf("row a = %+v, want version 2 with its title", r)
	}
	if s.writes != 1 {
		t.Errorf("%d writes for three versions that follow each other, want 1", s.writes)
	}
}

func TestTombstoneKeepsLateEventsOut(t *testing.T) {
	t.Parallel()
	s := newRows()
	p := replica.NewProjector(s)
	gone := event.TicketChange{Ticket: event.Ticket{ID: "a", Version: 2}, Predecessor: 1, Deleted: true}
	apply(t, p, change("a", 0), change("a", 1), gone)
	got := apply(t, p, change("a", 0), change("a", 1), gone)
	if diff := cmp.Diff([]event.Outcome{event.Duplicate, event.Duplicate, event.Duplicate}, got); diff != "" {
		t.Errorf("outcomes after the deletion (-want +got):\n%s", diff)
	}
	if r, _ := s.Row(t.Context(), "a"); !r.Deleted || r.Version != 2 {
		t.Errorf("row = %+v, want the tombstone of version 2", r)
	}
}

func TestWhatAnotherMemberWroteIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := newRows()
	p := replica.NewProjector(s)
	apply(t, p, change("a", 0))
	s.interfere = func(s *rows) { // the other member applies 1 and 2 between our read and our write
		s.rows["a"] = replica.Row{ID: "a", Version: 2, Title: "other"}
		s.interfere = nil
	}
	got := apply(t, p, change("a", 1))
	if diff := cmp.Diff([]event.Outcome{event.Duplicate}, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	if r, _ := s.Row(t.Context(), "a"); r.Version != 2 || r.Title != "other" {
		t.Errorf("row = %+v, want what the other member wrote", r)
	}
}

func TestMemoryBehindTheStoreHoldsNothingBack(t *testing.T) {
	t.Parallel()
	s := newRows()
	ours, other := replica.NewProjector(s), replica.NewProjector(s)
	apply(t, ours, change("a", 0))
	apply(t, other, change("a", 1))
	if got := apply(t, ours, change("a", 2)); got[0] != event.Applied {
		t.Errorf("version 2 after another member applied 1: %v, want applied", got[0])
	}
}

func TestFailedWriteAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	s := newRows()
	p := replica.NewProjector(s)
	s.err = errors.New("disk full")
	if got, err := p.Apply(t.Context(), []event.TicketChange{change("a", 0)}); !errors.Is(err, s.err) || got != nil {
		t.Errorf("Apply = %v, %v, want the store's error and no outcome", got, err)
	}
	s.err = nil
	if got := apply(t, p, change("a", 0)); got[0] != event.Applied {
		t.Errorf("after the store healed: %v, want applied", got[0])
	}
}

// TestAnyHistoryConverges plays random histories: several members, batches of
// any cut, any order, any duplicates, members that restart. Every delivery
// that was not acknowledged comes again, as the broker promises.
func TestAnyHistoryConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		tickets := rapid.IntRange(1, 5).Draw(t, "tickets")
		versions := rapid.IntRange(1, 12).Draw(t, "versions")
		members := make([]*replica.Projector, rapid.IntRange(1, 5).Draw(t, "members"))
		s := newRows()
		for i := range members {
			members[i] = replica.NewProjector(s)
		}
		var pending []event.TicketChange
		for id := range tickets {
			for v := range versions {
				for range 1 + rng.IntN(3) {
					pending = append(pending, change(fmt.Sprint("t", id), int64(v)))
				}
			}
		}
		for round := 0; len(pending) > 0; round++ {
			if round > tickets*versions*100 {
				t.Fatalf("%d deliveries still pending after %d rounds", len(pending), round)
			}
			rng.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] })
			n := 1 + rng.IntN(min(len(pending), 8))
			m := rng.IntN(len(members))
			if rng.IntN(10) == 0 {
				members[m] = replica.NewProjector(s)
			}
			outcomes, err := members[m].Apply(context.Background(), pending[:n])
			if err != nil {
				t.Fatal(err)
			}
			var again []event.TicketChange
			for i, o := range outcomes {
				held := s.rows[pending[i].ID]
				if o == event.Early {
					again = append(again, pending[i])
				} else if _, ok := s.rows[pending[i].ID]; !ok || held.Version < pending[i].Version {
					t.Fatalf("%s v%d was acknowledged as %v and the replica holds version %d", pending[i].ID, pending[i].Version, o, held.Version)
				}
			}
			pending = append(again, pending[n:]...)
		}
		for id := range tickets {
			key := fmt.Sprint("t", id)
			want := replica.Row{ID: key, Version: int64(versions - 1), Title: fmt.Sprintf("%s at %d", key, versions-1), Price: float64(versions - 1)}
			if diff := cmp.Diff(want, s.rows[key]); diff != "" {
				t.Fatalf("replica of %s (-want +got):\n%s", key, diff)
			}
		}
	})
}

// TestMembersRace lets members work side by side on the same rows.
func TestMembersRace(t *testing.T) {
	t.Parallel()
	const versions = 200
	s := newRows()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			p := replica.NewProjector(s)
			for v := int64(0); v < versions; {
				got, err := p.Apply(t.Context(), []event.TicketChange{change("a", v), change("b", v)})
				if err != nil {
					t.Error(err)
					return
				}
				if got[0] != event.Early && got[1] != event.Early {
					v++
				}
			}
		})
	}
	wg.Wait()
	if s.writes != 2*versions {
		t.Errorf("%d writes for %d versions of two records, want each applied once", s.writes, versions)
	}
}
