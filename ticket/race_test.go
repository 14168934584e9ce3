package ticket_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"lockstep/ticket"
)

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
