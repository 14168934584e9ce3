package ticket_test

import (
	"errors"
	"testing"

	"lockstep/event"
	"lockstep/ticket"
)

func TestLockLife(t *testing.T) {
	t.Parallel()
	type step struct {
		order   string
		release bool
		want    event.Outcome
		holder  string
		version int64
	}
	lock, release := false, true
	tests := map[string][]step{
		"lock, release, lock by another": {
			{"a", lock, event.Applied, "a", 1}, {"a", release, event.Applied, "", 2}, {"b", lock, event.Applied, "b", 3},
		},
		"duplicates change nothing": {
			{"a", lock, event.Applied, "a", 1}, {"a", lock, event.Duplicate, "a", 1},
			{"a", release, event.Applied, "", 2}, {"a", release, event.Duplicate, "", 2}, {"a", lock, event.Duplicate, "", 2},
		},
		"a release that comes first keeps its lock out": {
			{"a", release, event.Applied, "", 0}, {"a", lock, event.Duplicate, "", 0}, {"a", release, event.Duplicate, "", 0},
		},
		"a held ticket is not taken; the waiting order takes it after the holder": {
			{"a", lock, event.Applied, "a", 1}, {"b", lock, event.Applied, "a", 1}, {"b", lock, event.Duplicate, "a", 1},
			{"a", release, event.Applied, "b", 2}, {"b", release, event.Applied, "", 3},
		},
		"an order cancelled while it waits is dropped": {
			{"a", lock, event.Applied, "a", 1}, {"b", lock, event.Applied, "a", 1}, {"b", release, event.Applied, "a", 1},
			{"a", release, event.Applied, "", 2},
		},
		"waiting orders are served oldest first": {
			{"a", lock, event.Applied, "a", 1}, {"c", lock, event.Applied, "a", 1}, {"b", lock, event.Applied, "a", 1},
			{"a", release, event.Applied, "c", 2}, {"c", release, event.Applied, "b", 3},
		},
		"a release of another order frees nothing": {
			{"a", lock, event.Applied, "a", 1}, {"z", release, event.Applied, "a", 1}, {"z", lock, event.Duplicate, "a", 1},
		},
		"a stale release after the next order": {
			{"a", lock, event.Applied, "a", 1}, {"a", release, event.Applied, "", 2}, {"b", lock, event.Applied, "b", 3},
			{"a", release, event.Duplicate, "b", 3}, {"a", lock, event.Duplicate, "b", 3},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.create(t).ID
			for i, s := range steps {
				act := f.lock
				if s.release {
					act = f.release
				}
				if got := act(t, s.order, id); got != s.want {
					t.Errorf("step %d: %v, want %v", i, got, s.want)
				}
				f.want(t, id, s.holder, s.version)
			}
		})
	}
}

func TestLockOfAnUnknownTicketIsEarly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if got := f.lock(t, "a", "6b0300000000000000000001"); got != event.Early {
		t.Errorf("lock = %v, want early", got)
	}
	if _, err := f.KnownLock(t.Context(), "a"); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("lock of an early order is stored: %v", err)
	}
	if got := f.release(t, "a", "6b0300000000000000000001"); got != event.Applied || f.state(t, "a") != ticket.Tombstone {
		t.Errorf("release = %v, want a tombstone", got)
	}
}
