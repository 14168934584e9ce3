package main

import (
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/replica"
)

// TestALockIsSeenWhoeverWritesIt into the replica, a repair or a comparison too,
// and not when all tickets are looked at, a minute later or more. Case 9.2.
func TestALockIsSeenWhoeverWritesIt(t *testing.T) {
	t.Parallel()
	began := time.Now()
	r := startUp(t, t.TempDir())
	o := order.Order{ID: objectid.New(), TicketID: objectid.New(), UserID: "u", Status: order.Cancelled, Version: 1, ExpiresAt: began.UTC().Truncate(time.Millisecond)}
	if err := r.orderStore.orders.Commit(t.Context(), order.Change{Now: o}); err != nil {
		t.Fatal(err)
	}
	row := replica.Row{ID: o.TicketID, Title: "locked", Price: 1, OrderID: o.ID}
	if _, err := r.orderStore.replica.Write(t.Context(), []replica.Write{{From: event.None, Row: row}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the order is announced again", func() bool {
		now, err := r.orderStore.orders.Order(t.Context(), o.ID)
		return err == nil && now.Version > o.Version
	})
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v: the lock was found when all were looked at", took)
	}
	r.end()
}
