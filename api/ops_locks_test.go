package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/replica"
	"lockstep/ticket"
)

// ordersPort answers as the ops port of an orders service of a release that
// says known of order a.
func ordersPort(known string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/ops/orders":
			fmt.Fprint(w, `{"orders":[]}`)
		case r.URL.Path == "/ops/orders/a" && known != "":
			fmt.Fprint(w, known)
		default:
			refuseAll(w, r)
		}
	}
}

// Case 11.6: that an order does not exist must be said, and is not concluded
// from a 404 of a service that does not know the question.
func TestAnOrderIsUnknownOnlyIfItsOwnerSaysSo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		role func(http.ResponseWriter, *http.Request)
		want error
	}{
		"it is known":         {ordersPort(`{"order":{"id":"a","ticketId":"t","version":3,"cancelled":true}}`), nil},
		"it is not":           {ordersPort(`{"order":null}`), ticket.ErrNotFound},
		"it cannot be read":   {ordersPort(`{"order":null,"unreadable":true}`), ticket.ErrUnreadable},
		"an earlier release":  {ordersPort(""), ticket.ErrUnreadable},
		"a public API":        {nodeAPI, replica.ErrPublic},
		"the tickets service": {opsPort, ticket.ErrUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			owner, _, _ := at(t, tt.role)
			got, err := owner.Orders().Order(t.Context(), "a")
			if !errors.Is(err, tt.want) {
				t.Fatalf("order a = %+v, %v, want %v", got, err, tt.want)
			}
			if err == nil && got != (ticket.OrderState{OrderID: "a", TicketID: "t", Version: 3, Cancelled: true}) {
				t.Errorf("order a = %+v", got)
			}
		})
	}
}

// unreadableOrders are orders of which none can be read.
type unreadableOrders struct{ CanonicalOrders }

func (unreadableOrders) Order(context.Context, string) (order.Order, error) {
	return order.Order{}, fmt.Errorf("%w: price is no number", order.ErrUnreadable)
}

// Case 11.6.
func TestOpsSaysWhatItKnowsOfAnOrder(t *testing.T) {
	t.Parallel()
	f, h := newOps(t, nil)
	o := order.Order{ID: objectid.New(), TicketID: objectid.New(), UserID: "u", Status: order.Created, Version: 2, ExpiresAt: noon}
	if err := f.db.Orders().Commit(t.Context(), order.Change{Now: o}); err != nil {
		t.Fatal(err)
	}
	want(t, local(t, h, http.MethodGet, "/ops/orders/"+o.ID), 200,
		fmt.Sprintf(`{"order":{"id":%q,"ticketId":%q,"version":2,"cancelled":false}}`, o.ID, o.TicketID))
	want(t, local(t, h, http.MethodGet, "/ops/orders/unknown"), 200, `{"order":null}`)
	_, h = newOps(t, func(o *OpsOptions) { o.Orders = unreadableOrders{} })
	want(t, local(t, h, http.MethodGet, "/ops/orders/"+o.ID), 200, `{"order":null,"unreadable":true}`)
}

// reconciler compares with an owner at an address.
type reconciler struct {
	*ticket.Service
	owner ticket.Orders
}

func (r reconciler) Reconcile(ctx context.Context, o ticket.ReconcileOptions) (ticket.Reconciled, error) {
	return r.Service.Reconcile(ctx, r.owner, o)
}

func (r reconciler) ResetLock(ctx context.Context, id string) (before, after ticket.Lock, err error) {
	return r.Service.ResetLock(ctx, r.owner, id)
}

// Case 11.6.
func TestOpsResetsALock(t *testing.T) {
	t.Parallel()
	_, orders := newOps(t, nil)
	srv := httptest.NewServer(orders)
	t.Cleanup(srv.Close)
	owner, err := NewOwner(srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	r := &reconciler{owner: owner.Orders()}
	f, h := newOps(t, func(o *OpsOptions) { o.Reconciler = r })
	r.Service = f.tickets
	id := f.create(t, "u1")
	f.lock(t, id, "ghost")
	lock := func(state string) string {
		return fmt.Sprintf(`{"orderId":"ghost","ticketId":%q,"version":0,"state":%q}`, id, state)
	}
	left := fmt.Sprintf(`"noOrder":1,"freed":0,"left":[{"orderId":"ghost","ticketId":%q}],"after":"ghost"}}`, id)
	if got := local(t, h, http.MethodPost, "/ops/locks/reconcile"); got.status != 200 || !strings.HasSuffix(strings.TrimSpace(got.body), left) {
		t.Errorf("reconcile = %d %s, want …%s", got.status, got.body, left)
	}
	wantMissing(t, local(t, h, http.MethodPost, "/ops/locks/unknown/reset"), "Neither this process nor the orders service knows such an order")
	want(t, local(t, h, http.MethodPost, "/ops/locks/ghost/reset"), 200, `{"before":`+lock("held")+`,"after":`+lock("released")+`}`)
	want(t, local(t, h, http.MethodGet, "/ops/locks/ghost"), 200, lock("released"))
	want(t, local(t, h, http.MethodPost, "/ops/locks/reconcile?trust=me"), 400, `{"errors":[{"message":"trust must be owner, or not be given"}]}`)
}

// Case 11.6.
func TestLocksAreNotComparedWithoutAnOwner(t *testing.T) {
	t.Parallel()
	_, h := newOps(t, nil)
	for _, path := range []string{"/ops/locks/a/reset", "/ops/locks/reconcile"} {
		want(t, local(t, h, http.MethodPost, path), 409,
			`{"errors":[{"message":"CANONICAL_URL is not set: this process does not know whom to compare with"}]}`)
	}
}
