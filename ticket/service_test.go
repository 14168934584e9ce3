package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/outbox"
	"lockstep/store/sqlite"
	"lockstep/ticket"
)

// fixture is a service on a real store.
type fixture struct {
	*ticket.Service
	db *sqlite.DB
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tickets.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return fixture{ticket.NewService(db.Tickets(), ticket.Options{}), db}
}

func (f fixture) create(t *testing.T) ticket.Ticket {
	t.Helper()
	got, err := f.Create(t.Context(), "ann", ticket.Draft{Title: "concert", Price: 20.5})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (f fixture) lock(t *testing.T, order, id string) event.Outcome {
	t.Helper()
	o, err := f.Lock(t.Context(), event.Reserved{OrderID: order, TicketID: id})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (f fixture) release(t *testing.T, order, id string) event.Outcome {
	t.Helper()
	o, err := f.Release(t.Context(), event.Cancelled{OrderID: order, Version: 1, TicketID: id})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// events returns what the outbox holds of a ticket: "version subject payload".
func (f fixture) events(t *testing.T, id string) []outbox.Record {
	t.Helper()
	records, err := f.db.Outbox().Key(t.Context(), id, event.None, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// want checks the ticket's holder and version and that every version has
// exactly one event.
func (f fixture) want(t *testing.T, id, holder string, version int64) {
	t.Helper()
	got, err := f.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got.OrderID != holder || got.Version != version {
		t.Errorf("ticket is held by %q at version %d, want %q at %d", got.OrderID, got.Version, holder, version)
	}
	records := f.events(t, id)
	for i, r := range records {
		if r.Version != int64(i) {
			t.Fatalf("event %d of the ticket has version %d, want one event per version", i, r.Version)
		}
	}
	if len(records) != int(version)+1 {
		t.Errorf("%d events for versions 0 to %d", len(records), version)
	}
}

func (f fixture) state(t *testing.T, order string) ticket.LockState {
	t.Helper()
	l, err := f.KnownLock(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	return l.State
}

func TestCreateAndUpdateAnnounceWhatWasStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t)
	b, err := f.Update(t.Context(), a.ID, "ann", ticket.Draft{Title: "c2", Price: 30})
	if err != nil {
		t.Fatal(err)
	}
	if b.Version != 1 || b.Title != "c2" || b.Price != 30 || b.UserID != "ann" {
		t.Errorf("updated ticket = %+v", b)
	}
	records := f.events(t, a.ID)
	want := []string{
		`ticket:created {"id":"` + a.ID + `","title":"concert","price":20.5,"userId":"ann","version":0}`,
		`ticket:updated {"id":"` + a.ID + `","title":"c2","price":30,"userId":"ann","version":1}`,
	}
	var got []string
	for _, r := range records {
		got = append(got, string(r.Subject)+" "+string(r.Payload))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if _, err := f.Update(t.Context(), a.ID, "ann", ticket.Draft{Title: "c2", Price: 30}); err != nil {
		t.Fatal(err)
	}
	f.want(t, a.ID, "", 2) // the same values again are a change too
}

func TestEditsThatAreRefusedChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	free, held, gone := f.create(t), f.create(t), f.create(t)
	f.lock(t, "o1", held.ID)
	if err := f.Delete(t.Context(), gone.ID, "ann"); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		id, user string
		want     error
	}{
		"unknown":                     {"6b0300000000000000000001", "ann", ticket.ErrNotFound},
		"deleted":                     {gone.ID, "ann", ticket.ErrNotFound},
		"somebody else's":             {free.ID, "bob", ticket.ErrNotOwner},
		"held":                        {held.ID, "ann", ticket.ErrReserved},
		"held and somebody else's":    {held.ID, "bob", ticket.ErrNotOwner},
		"deleted and somebody else's": {gone.ID, "bob", ticket.ErrNotFound},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := f.Update(t.Context(), tc.id, tc.user, ticket.Draft{Title: "x", Price: 1}); !errors.Is(err, tc.want) {
				t.Errorf("Update: %v, want %v", err, tc.want)
			}
			if err := f.Delete(t.Context(), tc.id, tc.user); !errors.Is(err, tc.want) {
				t.Errorf("Delete: %v, want %v", err, tc.want)
			}
		})
	}
	f.want(t, free.ID, "", 0)
	f.want(t, held.ID, "o1", 1)
}

func TestDeleteLeavesATombstoneAndAnEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t)
	if err := f.Delete(t.Context(), a.ID, "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Ticket(t.Context(), a.ID); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("deleted ticket: %v, want not found", err)
	}
	for range f.Free(t.Context()) {
		t.Error("the deleted ticket is listed")
	}
	records := f.events(t, a.ID)
	if got, want := string(records[1].Payload), `{"id":"`+a.ID+`","version":1}`; records[1].Subject != event.TicketDeleted || got != want {
		t.Errorf("event = %s %s, want ticket:deleted %s", records[1].Subject, got, want)
	}
	if got := f.lock(t, "o1", a.ID); got != event.Applied || f.state(t, "o1") != ticket.Waiting {
		t.Errorf("order of a deleted ticket: %v %s, want recorded as waiting", got, f.state(t, "o1"))
	}
}

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

func TestConcurrentEditsLoseNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.create(t).ID
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[int64]string{}
	for i := range 10 {
		wg.Go(func() {
			title := fmt.Sprint("edit ", i)
			got, err := f.Update(t.Context(), id, "ann", ticket.Draft{Title: title, Price: 1})
			if errors.Is(err, ticket.ErrConflict) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if before, taken := won[got.Version]; taken {
				t.Errorf("version %d was given to %q and %q", got.Version, before, title)
			}
			won[got.Version] = title
		})
	}
	wg.Wait()
	f.want(t, id, "", int64(len(won)))
	if got, _ := f.Ticket(t.Context(), id); got.Title != won[got.Version] {
		t.Errorf("the ticket says %q, the winner of version %d wrote %q", got.Title, got.Version, won[got.Version])
	}
}

// TestEditAgainstLock: whoever is first, no edit happens after the lock.
func TestEditAgainstLock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 100 {
		id := f.create(t).ID
		order := fmt.Sprint("order", i)
		var edited ticket.Ticket
		var editErr error
		var wg sync.WaitGroup
		wg.Go(func() { edited, editErr = f.Update(t.Context(), id, "ann", ticket.Draft{Title: "x", Price: 1}) })
		wg.Go(func() { f.lock(t, order, id) })
		wg.Wait()
		switch {
		case editErr == nil:
			if edited.Version != 1 || edited.OrderID != "" {
				t.Fatalf("edit after the lock: %+v", edited)
			}
			f.want(t, id, order, 2)
		case errors.Is(editErr, ticket.ErrReserved):
			f.want(t, id, order, 1)
		default:
			t.Fatalf("edit: %v, want success or ErrReserved", editErr)
		}
	}
}

// TestNoOrderWaitsForAFreeTicket races locks and releases of many orders for
// one ticket: in the end every order was released, so the ticket is free, and
// at no time does a waiting order stay behind on a ticket nobody holds.
func TestNoOrderWaitsForAFreeTicket(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const orders = 24
	id := f.create(t).ID
	var wg sync.WaitGroup
	for i := range orders {
		order := fmt.Sprint("order", i)
		wg.Go(func() { f.lock(t, order, id) })
		if i%2 == 0 {
			wg.Go(func() { f.release(t, order, id) })
		}
	}
	wg.Wait()
	got, err := f.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got.OrderID == "" {
		t.Fatal("the ticket is free although orders want it")
	}
	held := 0
	for i := range orders {
		state := f.state(t, fmt.Sprint("order", i))
		if state == ticket.Held {
			held++
		}
		if i%2 == 0 && state != ticket.Released && state != ticket.Tombstone {
			t.Errorf("order %d was cancelled and is %s", i, state)
		}
	}
	if held != 1 {
		t.Errorf("%d orders hold the ticket, want 1", held)
	}
	f.want(t, id, got.OrderID, got.Version)
	for i := 1; i < orders; i += 2 {
		f.release(t, fmt.Sprint("order", i), id)
	}
	got, _ = f.Ticket(t.Context(), id)
	f.want(t, id, "", got.Version)
}

// orders answers as the orders service does.
type orders []ticket.OrderState

func (o orders) Page(_ context.Context, after string, limit int) ([]ticket.OrderState, error) {
	var page []ticket.OrderState
	for _, s := range o {
		if s.OrderID > after && len(page) < limit {
			page = append(page, s)
		}
	}
	return page, nil
}

func TestReconcileBringsBackLostLocksAndReleases(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b, c := f.create(t).ID, f.create(t).ID, f.create(t).ID
	f.lock(t, "o2", b) // its order:cancelled was lost
	f.lock(t, "o3", c)
	owner := orders{
		{OrderID: "o1", TicketID: a, Version: 0}, // its order:created was lost
		{OrderID: "o2", TicketID: b, Version: 1, Cancelled: true},
		{OrderID: "o3", TicketID: c, Version: 0},
		{OrderID: "o4", TicketID: "6b0300000000000000000001"},
		{OrderID: "o5", TicketID: a, Version: 1, Cancelled: true}, // both were lost: nothing to do
	}
	got, err := f.Reconcile(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	want := ticket.Reconciled{Compared: 5, Locked: 1, Released: 1, Unknown: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reconciled (-want +got):\n%s", diff)
	}
	f.want(t, a, "o1", 1)
	f.want(t, b, "", 2)
	f.want(t, c, "o3", 1)
	if got := f.lock(t, "o1", a); got != event.Duplicate {
		t.Errorf("the lost event comes after all: %v, want duplicate", got)
	}
}
