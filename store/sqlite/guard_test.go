package sqlite

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lockstep/internal/objectid"
	"lockstep/order"
)

func reservation(ticketID string) order.Change {
	return order.Change{Now: order.Order{ID: objectid.New(), UserID: "u", Status: order.Created, TicketID: ticketID}}
}

// foreign runs statements as another program would.
func foreign(t *testing.T, path string, statements ...string) {
	t.Helper()
	pool, err := connect(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, s := range statements {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Case 10.4: eleven buyers had the ticket.
func TestADroppedIndexSellsNoTicketTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	orders := db.Orders()
	if err := orders.Commit(t.Context(), reservation("another")); err != nil { // its statements are prepared
		t.Fatal(err)
	}
	foreign(t, path, "DROP INDEX ordersActive")
	var buyers sync.WaitGroup
	var sold atomic.Int32
	for range 8 {
		buyers.Go(func() {
			switch err := orders.Commit(t.Context(), reservation("ticket")); {
			case err == nil:
				sold.Add(1)
			case !errors.Is(err, order.ErrReserved):
				t.Error(err)
			}
		})
	}
	buyers.Wait()
	if sold.Load() != 1 {
		t.Errorf("the ticket was sold %d times", sold.Load())
	}
	foreign(t, path, "DROP INDEX ordersActive")
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("readiness: %v, want the index made again", err)
	}
	if err := orders.Commit(t.Context(), reservation("ticket")); !errors.Is(err, order.ErrReserved) {
		t.Errorf("one more buyer: %v", err)
	}
}

func TestReservationsAreSuspendedWhileTicketsAreSoldTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	held := reservation("ticket")
	if err := db.Orders().Commit(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	foreign(t, path, "DROP INDEX ordersActive",
		"INSERT INTO orders SELECT NULL, 'copy', userId, status, expiresAt, ticketId, price, version, paidBy, lockFrom FROM orders")
	if err := db.Orders().Commit(t.Context(), reservation("another")); !errors.Is(err, order.ErrSuspended) {
		t.Errorf("reservation: %v, want ErrSuspended", err)
	}
	if err := db.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "cancel all but one of each") {
		t.Errorf("readiness: %v, want what to do", err)
	}
	was := held.Now
	now := was
	now.Status, now.Version = order.Cancelled, 1
	if err := db.Orders().Commit(t.Context(), order.Change{Was: &was, Now: now}); err != nil {
		t.Errorf("cancellation: %v, want it to go on", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("readiness afterwards: %v", err)
	}
	if err := db.Orders().Commit(t.Context(), reservation("another")); err != nil {
		t.Errorf("reservation afterwards: %v", err)
	}
}
