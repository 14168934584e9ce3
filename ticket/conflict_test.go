package ticket_test

import (
	"context"
	"errors"
	"testing"

	"lockstep/event"
	"lockstep/ticket"
)

// meddler lets somebody else act between a decision and its commit.
type meddler struct {
	ticket.Store
	act func()
}

func (m *meddler) Commit(ctx context.Context, c ticket.Change) error {
	if act := m.act; act != nil {
		m.act = nil
		act()
	}
	return m.Store.Commit(ctx, c)
}

func TestEditThatWasOvertaken(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		act     func(t *testing.T, f fixture, id string)
		want    error
		version int64
		title   string
	}{
		"by another edit is refused": {
			func(t *testing.T, f fixture, id string) {
				if _, err := f.Update(t.Context(), id, "ann", ticket.Draft{Title: "first", Price: 1}); err != nil {
					t.Error(err)
				}
			}, ticket.ErrConflict, 1, "first",
		},
		"by a lock is refused as reserved": {
			func(t *testing.T, f fixture, id string) { f.lock(t, "o1", id) }, ticket.ErrReserved, 1, "concert",
		},
		"by a lock and its release is refused": {
			func(t *testing.T, f fixture, id string) { f.lock(t, "o1", id); f.release(t, "o1", id) },
			ticket.ErrConflict, 2, "concert",
		},
		"by a guard alone goes on": {
			func(t *testing.T, f fixture, id string) {
				was, err := f.db.Tickets().Ticket(t.Context(), id)
				if err == nil {
					err = f.db.Tickets().Commit(t.Context(), ticket.Change{Was: &was, Locks: []ticket.LockChange{
						{Now: ticket.Lock{OrderID: "o9", TicketID: id, State: ticket.Waiting}},
					}})
				}
				if err != nil {
					t.Error(err)
				}
			}, nil, 1, "second",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.create(t).ID
			m := &meddler{Store: f.db.Tickets(), act: func() { tc.act(t, f, id) }}
			_, err := ticket.NewService(m, ticket.Options{}).Update(t.Context(), id, "ann", ticket.Draft{Title: "second", Price: 2})
			if !errors.Is(err, tc.want) {
				t.Errorf("Update: %v, want %v", err, tc.want)
			}
			got, err := f.Ticket(t.Context(), id)
			if err != nil || got.Title != tc.title || got.Version != tc.version {
				t.Errorf("ticket = %+v, %v, want %q at version %d", got, err, tc.title, tc.version)
			}
		})
	}
}

// TestWaitingIsGuarded: the holder releases at the very moment another order
// is recorded as waiting; the order must not be left waiting for a free
// ticket.
func TestWaitingIsGuarded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.create(t).ID
	f.lock(t, "a", id)
	m := &meddler{Store: f.db.Tickets(), act: func() { f.release(t, "a", id) }}
	got, err := ticket.NewService(m, ticket.Options{}).Lock(t.Context(), event.Reserved{OrderID: "b", TicketID: id})
	if got != event.Applied || err != nil {
		t.Fatalf("Lock = %v, %v", got, err)
	}
	f.want(t, id, "b", 3)
	if s := f.state(t, "b"); s != ticket.Held {
		t.Errorf("order b is %s, want held", s)
	}
}

// TestReleaseIsGuarded is the same moment seen from the other side.
func TestReleaseIsGuarded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.create(t).ID
	f.lock(t, "a", id)
	m := &meddler{Store: f.db.Tickets(), act: func() { f.lock(t, "b", id) }}
	got, err := ticket.NewService(m, ticket.Options{}).Release(t.Context(), event.Cancelled{OrderID: "a", Version: 1, TicketID: id})
	if got != event.Applied || err != nil {
		t.Fatalf("Release = %v, %v", got, err)
	}
	f.want(t, id, "b", 2)
}
