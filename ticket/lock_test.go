package ticket_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

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

// TestTheHighestVersionOfAnOrderCounts: an order that was cancelled, completed
// all the same and announced again holds its ticket, in whichever order its
// events come, and however often. Cases 9.1 and 9.2.
func TestTheHighestVersionOfAnOrderCounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t)
		id := f.create(t).ID
		reserved := func(order string, v int64) func() error {
			return func() error {
				_, err := f.Lock(t.Context(), event.Reserved{OrderID: order, Version: v, TicketID: id})
				return err
			}
		}
		cancelled := func(order string, v int64) func() error {
			return func() error {
				_, err := f.Release(t.Context(), event.Cancelled{OrderID: order, Version: v, TicketID: id})
				return err
			}
		}
		events := []func() error{
			reserved("dead", 0), cancelled("dead", 1), cancelled("dead", 2),
			reserved("back", 0), cancelled("back", 1), reserved("back", 2),
			reserved("gone", 0), cancelled("gone", 1), reserved("gone", 2), cancelled("gone", 3),
		}
		for _, deliver := range rapid.Permutation(append(events, events...)).Draw(rt, "deliveries") {
			if err := deliver(); err != nil {
				rt.Fatal(err)
			}
		}
		got, err := f.Ticket(t.Context(), id)
		if err != nil || got.OrderID != "back" {
			rt.Errorf("ticket is held by %q, %v, want the one order that is not cancelled", got.OrderID, err)
		}
	})
}

// TestAReleaseThatIsOlderThanTheLockFreesNothing. Case 9.1.
func TestAReleaseThatIsOlderThanTheLockFreesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.create(t).ID
	f.lock(t, "a", id)
	f.release(t, "a", id) // version 1
	again := event.Reserved{OrderID: "a", Version: 2, TicketID: id}
	if got, err := f.Lock(t.Context(), again); got != event.Applied || err != nil {
		t.Fatalf("lock of version 2 after release of version 1: %v, %v, want applied", got, err)
	}
	f.want(t, id, "a", 3)
	if got := f.release(t, "a", id); got != event.Duplicate {
		t.Errorf("release of version 1 comes again: %v, want duplicate", got)
	}
	f.want(t, id, "a", 3)
}

// TestALockThatIsNotKnownAsHeldIsReleased: a ticket that a Node service locked
// for an order which ours knows as released. Case 9.2.
func TestALockThatIsNotKnownAsHeldIsReleased(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	was := f.create(t)
	f.release(t, "a", was.ID)
	now := was
	now.OrderID, now.Version = "a", 1
	if err := f.db.Tickets().Commit(t.Context(), ticket.Change{Was: &was, Now: &now}); err != nil {
		t.Fatal(err)
	}
	got, err := f.Release(t.Context(), event.Cancelled{OrderID: "a", Version: 2, TicketID: was.ID})
	if got != event.Applied || err != nil {
		t.Errorf("release of version 2: %v, %v, want applied", got, err)
	}
	if held, err := f.Ticket(t.Context(), was.ID); err != nil || held.OrderID != "" {
		t.Errorf("ticket is held by %q, %v, want it free", held.OrderID, err)
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
