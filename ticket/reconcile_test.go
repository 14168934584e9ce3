package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

func (o orders) Order(_ context.Context, id string) (ticket.OrderState, error) {
	for _, s := range o {
		if s.OrderID == id {
			return s, nil
		}
	}
	return ticket.OrderState{}, ticket.ErrNotFound
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
	later := slices.Clone(owner) // what the owner says when it is asked again
	later[6].Version, later[6].Cancelled = 1, true
	later[7].Version, later[7].Cancelled = 2, false
	got, err := f.Reconcile(t.Context(), &moving{owner, later}, ticket.ReconcileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := ticket.Reconciled{Compared: 8, Locked: 2, Released: 1, Lost: 3, NoTicket: 1, After: "o8",
		WithoutTicket: []ticket.Left{{OrderID: "o4", TicketID: "6b0300000000000000000001"}}}
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

// moving lists its first orders, and answers like the others when it is asked
// again.
type moving struct{ once, then orders }

func (m *moving) Page(ctx context.Context, after string, limit int) ([]ticket.OrderState, error) {
	return m.once.Page(ctx, after, limit)
}

func (m *moving) Order(ctx context.Context, id string) (ticket.OrderState, error) {
	return m.then.Order(ctx, id)
}

// Case 11.6: versions that the orders service never had, of orders that it has.
func TestReconcileMendsForgedVersions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b, c := f.create(t).ID, f.create(t).ID, f.create(t).ID
	f.lock(t, "o1", a) // lives, and was freed by a forged order:cancelled
	if _, err := f.Release(t.Context(), event.Cancelled{OrderID: "o1", Version: 9, TicketID: a}); err != nil {
		t.Fatal(err)
	}
	f.lock(t, "o2", b) // was cancelled, and locked again by a forged order:created
	f.release(t, "o2", b)
	if _, err := f.Lock(t.Context(), event.Reserved{OrderID: "o2", Version: 9, TicketID: b}); err != nil {
		t.Fatal(err)
	}
	f.lock(t, "o3", c) // lives, and a forged order:cancelled has its own version
	if _, err := f.Release(t.Context(), event.Cancelled{OrderID: "o3", Version: 0, TicketID: c}); err != nil {
		t.Fatal(err)
	}
	owner := orders{
		{OrderID: "o1", TicketID: a, Version: 0},
		{OrderID: "o2", TicketID: b, Version: 1, Cancelled: true},
		{OrderID: "o3", TicketID: c, Version: 0},
	}
	got, err := f.Reconcile(t.Context(), owner, ticket.ReconcileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := ticket.Reconciled{Compared: 3, Locked: 2, Released: 1, Forged: 3, After: "o3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reconciled (-want +got):\n%s", diff)
	}
	f.want(t, a, "o1", 3)
	f.want(t, b, "", 4)
	f.want(t, c, "o3", 3)
	if again, err := f.Reconcile(t.Context(), owner, ticket.ReconcileOptions{}); err != nil || again.Forged+again.Locked+again.Released > 0 {
		t.Errorf("a second comparison did %+v, %v; want nothing", again, err)
	}
	f.release(t, "o1", a) // the real events go on to count
	f.want(t, a, "", 4)
}

// failing answers like orders until it is asked above an order.
type failing struct {
	orders
	above string
}

func (f failing) Page(ctx context.Context, after string, limit int) ([]ticket.OrderState, error) {
	if after == f.above {
		return nil, errors.New("the orders service does not answer")
	}
	return f.orders.Page(ctx, after, limit)
}

// Case 10.20: what broke off goes on where it was, and tells how far it is.
func TestReconcileGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var owner orders
	for i := range 2500 {
		owner = append(owner, ticket.OrderState{OrderID: fmt.Sprintf("o%04d", i), TicketID: "none", Version: 1, Cancelled: true})
	}
	var told []int
	progress := func(r ticket.Reconciled) { told = append(told, r.Compared) }
	got, err := f.Reconcile(t.Context(), failing{owner, "o1999"}, ticket.ReconcileOptions{Progress: progress})
	if err == nil || got.After != "o1999" || got.Compared != 2000 {
		t.Fatalf("reconciled %+v, %v; want 2000 compared and an error", got, err)
	}
	got, err = f.Reconcile(t.Context(), owner, ticket.ReconcileOptions{After: got.After, Progress: progress})
	if err != nil || got.After != "o2499" || got.Compared != 500 {
		t.Errorf("reconciled %+v, %v; want the remaining 500", got, err)
	}
	if diff := cmp.Diff([]int{1000, 2000, 500}, told); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}
