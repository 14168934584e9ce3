package ticket_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/ticket"
)

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
	d, e, g := f.create(t).ID, f.create(t).ID, f.create(t).ID
	f.lock(t, "o2", b) // its order:cancelled was lost
	f.lock(t, "o3", c)
	f.lock(t, "o6", d)
	f.release(t, "o6", d)
	f.release(t, "o7", e)
	if _, err := f.Lock(t.Context(), event.Reserved{OrderID: "o8", Version: 2, TicketID: g}); err != nil {
		t.Fatal(err)
	}
	owner := orders{
		{OrderID: "o1", TicketID: a, Version: 0}, // its order:created was lost
		{OrderID: "o2", TicketID: b, Version: 1, Cancelled: true},
		{OrderID: "o3", TicketID: c, Version: 0},
		{OrderID: "o4", TicketID: "6b0300000000000000000001"},
		{OrderID: "o5", TicketID: a, Version: 1, Cancelled: true}, // both were lost: nothing to do
		{OrderID: "o6", TicketID: d, Version: 2},                  // its second order:created was lost
		{OrderID: "o7", TicketID: e, Version: 0},                  // read before it was cancelled
		{OrderID: "o8", TicketID: g, Version: 1, Cancelled: true}, // read before it was completed after all
	}
	got, err := f.Reconcile(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	want := ticket.Reconciled{Compared: 8, Locked: 2, Released: 1, Unknown: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reconciled (-want +got):\n%s", diff)
	}
	f.want(t, a, "o1", 1)
	f.want(t, b, "", 2)
	f.want(t, c, "o3", 1)
	f.want(t, d, "o6", 3)
	f.want(t, e, "", 0)
	f.want(t, g, "o8", 1)
	if got := f.lock(t, "o1", a); got != event.Duplicate {
		t.Errorf("the lost event comes after all: %v, want duplicate", got)
	}
}
