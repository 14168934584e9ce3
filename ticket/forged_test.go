package ticket_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/ticket"
)

func (f fixture) reconciled(t *testing.T, owner ticket.Orders, o ticket.ReconcileOptions, want ticket.Reconciled) {
	t.Helper()
	got, err := f.Reconcile(t.Context(), owner, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reconciled (-want +got):\n%s", diff)
	}
}

// TestLocksOfOrdersThatTheirOwnerDoesNotHave are reported, and released by
// trust alone. Case 11.6.
func TestLocksOfOrdersThatTheirOwnerDoesNotHave(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b := f.create(t).ID, f.create(t).ID
	f.lock(t, "ghost2", a) // both forged
	f.lock(t, "ghost1", a) // and waits
	f.lock(t, "o1", a)     // real, and waits behind them
	f.lock(t, "o2", b)
	f.release(t, "ghost3", b) // forged, and takes nothing
	owner := orders{{OrderID: "o1", TicketID: a}, {OrderID: "o2", TicketID: b}}
	left := []ticket.Left{{OrderID: "ghost1", TicketID: a}, {OrderID: "ghost2", TicketID: a}}
	f.reconciled(t, owner, ticket.ReconcileOptions{}, ticket.Reconciled{Compared: 2, NoOrder: 2, Left: left, After: "o2"})
	f.want(t, a, "ghost2", 1)
	f.reconciled(t, owner, ticket.ReconcileOptions{TrustOwner: true}, ticket.Reconciled{Compared: 2, Freed: 2, After: "o2"})
	f.want(t, a, "o1", 2)
	f.want(t, b, "o2", 1)
	if got := f.lock(t, "ghost2", a); got != event.Duplicate {
		t.Errorf("the forged event comes again: %v, want duplicate", got)
	}
	f.reconciled(t, owner, ticket.ReconcileOptions{TrustOwner: true}, ticket.Reconciled{Compared: 2, After: "o2"})
}

// TestOrdersOfTicketsThatAreNotHere are reported: of one that was forged into the
// replica, and of one that was deleted before its order was heard of. Case 11.6.
func TestOrdersOfTicketsThatAreNotHere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	gone, other := f.create(t).ID, f.create(t).ID
	if err := f.Delete(t.Context(), gone, "ann"); err != nil {
		t.Fatal(err)
	}
	f.lock(t, "o1", gone)  // waits for ever
	f.lock(t, "o2", other) // has it
	f.lock(t, "o3", other) // waits for o2
	const ghost = "6b0300000000000000000001"
	owner := orders{
		{OrderID: "o1", TicketID: gone}, {OrderID: "o2", TicketID: other}, {OrderID: "o3", TicketID: other},
		{OrderID: "o4", TicketID: ghost}, {OrderID: "o5", TicketID: ghost, Version: 1, Cancelled: true},
	}
	want := ticket.Reconciled{
		Compared: 5, NoTicket: 2, After: "o5",
		WithoutTicket: []ticket.Left{{OrderID: "o1", TicketID: gone}, {OrderID: "o4", TicketID: ghost}},
	}
	for _, trust := range []bool{false, true} {
		f.reconciled(t, owner, ticket.ReconcileOptions{TrustOwner: trust}, want)
	}
	owner[0].Version, owner[0].Cancelled = 1, true // both come to an end
	owner[3].Version, owner[3].Cancelled = 1, true
	f.reconciled(t, owner, ticket.ReconcileOptions{}, ticket.Reconciled{Compared: 5, Released: 1, Lost: 1, After: "o5"})
	f.reconciled(t, owner, ticket.ReconcileOptions{}, ticket.Reconciled{Compared: 5, After: "o5"})
}

// asked is an orders service that makes an order between two questions.
type asked struct {
	orders
	meanwhile func()
}

func (a *asked) Page(ctx context.Context, after string, limit int) ([]ticket.OrderState, error) {
	page, err := a.orders.Page(ctx, after, limit)
	a.meanwhile()
	a.meanwhile = func() {}
	return page, err
}

// TestAnOrderMadeDuringTheComparisonIsNotUnknown. Case 11.6.
func TestAnOrderMadeDuringTheComparisonIsNotUnknown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t).ID
	owner := &asked{}
	owner.meanwhile = func() {
		owner.orders = orders{{OrderID: "o1", TicketID: a}}
		f.lock(t, "o1", a)
	}
	f.reconciled(t, owner, ticket.ReconcileOptions{TrustOwner: true}, ticket.Reconciled{})
	f.want(t, a, "o1", 1)
	// Even if the list did not have it, for whatever reason.
	listless := &moving{nil, owner.orders}
	f.reconciled(t, listless, ticket.ReconcileOptions{TrustOwner: true}, ticket.Reconciled{After: "o1"})
	f.want(t, a, "o1", 1)
}

// silent is an orders service that cannot say what it has.
type silent struct{ orders }

func (silent) Order(context.Context, string) (ticket.OrderState, error) {
	return ticket.OrderState{}, fmt.Errorf("%w: by a foreign hand", ticket.ErrUnreadable)
}

// TestALockIsKeptWhileNobodyCanSay. Case 11.6.
func TestALockIsKeptWhileNobodyCanSay(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t).ID
	f.lock(t, "o1", a)
	f.reconciled(t, silent{}, ticket.ReconcileOptions{TrustOwner: true}, ticket.Reconciled{After: "o1"})
	f.want(t, a, "o1", 1)
}

// TestALockOnAnotherTicketThanItsOrders: the order exists, and a forged
// order:created came before its own. Case 11.6.
func TestALockOnAnotherTicketThanItsOrders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b, c := f.create(t).ID, f.create(t).ID, f.create(t).ID
	f.lock(t, "o1", a)
	if got := f.lock(t, "o1", b); got != event.Duplicate {
		t.Fatalf("the real event: %v; the case is not made", got)
	}
	f.lock(t, "o2", c)
	f.lock(t, "o3", c) // waits for a ticket that it never asked for
	owner := orders{{OrderID: "o1", TicketID: b}, {OrderID: "o2", TicketID: c}, {OrderID: "o3", TicketID: a}}
	f.reconciled(t, owner, ticket.ReconcileOptions{}, ticket.Reconciled{Compared: 3, Locked: 2, Forged: 2, After: "o3"})
	f.want(t, a, "o3", 3)
	f.want(t, b, "o1", 1)
	f.want(t, c, "o2", 1)
	f.reconciled(t, owner, ticket.ReconcileOptions{}, ticket.Reconciled{Compared: 3, After: "o3"})
}

// TestAForgedVersionKeepsNoReleaseOut: the order lives, has its ticket, and is
// known in a version that would make its release look old. Case 11.6.
func TestAForgedVersionKeepsNoReleaseOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.create(t).ID
	f.lock(t, "o1", a)
	if _, err := f.Lock(t.Context(), event.Reserved{OrderID: "o1", Version: 1 << 53, TicketID: a}); err != nil {
		t.Fatal(err)
	}
	f.reconciled(t, orders{{OrderID: "o1", TicketID: a}}, ticket.ReconcileOptions{}, ticket.Reconciled{Compared: 1, Forged: 1, After: "o1"})
	f.want(t, a, "o1", 1)
	if got := f.release(t, "o1", a); got != event.Applied {
		t.Errorf("the real release: %v, want applied", got)
	}
	f.want(t, a, "", 2)
}

// Case 11.6.
func TestOneLockIsReset(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b := f.create(t).ID, f.create(t).ID
	f.lock(t, "ghost1", a)
	f.lock(t, "ghost2", b)
	before, after, err := f.ResetLock(t.Context(), orders{}, "ghost1")
	if err != nil || before.State != ticket.Held || after.State != ticket.Released {
		t.Errorf("reset %q to %q, %v, want held to released", before.State, after.State, err)
	}
	f.want(t, a, "", 2)
	f.want(t, b, "ghost2", 1)
	if _, _, err := f.ResetLock(t.Context(), silent{}, "ghost2"); err == nil {
		t.Error("a lock was reset although its owner cannot say")
	}
}

// TestReconcileFindsWhatItMust in lists of any kind, page by page. Case 11.6.
func TestReconcileFindsWhatItMust(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := rand.New(rand.NewPCG(1, 2))
	a := f.create(t).ID
	var owner orders
	want := ticket.Reconciled{}
	var locks []ticket.LockChange
	for i := range 5000 {
		id := fmt.Sprintf("o%05d", i)
		// Runs of one kind, so that one list ends long before the other.
		switch kind := (i / (1 + r.IntN(1500))) % 3; kind {
		case 0:
			owner = append(owner, ticket.OrderState{OrderID: id, TicketID: a, Version: 1, Cancelled: true})
			want.Compared++
		case 1:
			locks = append(locks, ticket.LockChange{Now: ticket.Lock{OrderID: id, TicketID: a, State: ticket.Waiting}})
			want.NoOrder++
		case 2:
			owner = append(owner, ticket.OrderState{OrderID: id, TicketID: a})
			locks = append(locks, ticket.LockChange{Now: ticket.Lock{OrderID: id, TicketID: a, State: ticket.Waiting}})
			want.Compared++
		}
		want.After = id
	}
	if err := f.db.Tickets().Commit(t.Context(), ticket.Change{Locks: locks}); err != nil {
		t.Fatal(err)
	}
	got, err := f.Reconcile(t.Context(), owner, ticket.ReconcileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Left) != 100 {
		t.Errorf("%d are named, want the first 100", len(got.Left))
	}
	got.Left = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reconciled (-want +got):\n%s", diff)
	}
}
