package interop

import (
	"net/http"
	"testing"

	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// TestOurServicesTakeOverFromNode starts both our services on the databases
// that Node's wrote, under the names that they have there, and gives the
// databases back.
func TestOurServicesTakeOverFromNode(t *testing.T) {
	t.Parallel()
	set, b := mongotest.Start(t, 1), brokertest.Start(t) // a set of its own, for the names
	tickets, orders := startPeer(t, set.URI("tickets")), startPeer(t, set.URI("orders"))
	free, held := written(tickets), written(tickets)
	copied(orders, free)
	copied(orders, held)
	var theirOrder document
	orders.do("createOrder", args{"fields": args{
		"userId": "bob", "status": "created", "ticket": held.ID, "expiresAt": "2030-01-02T03:04:05.678Z",
	}}, &theirOrder)
	for _, node := range []*peer{tickets, orders} {
		node.do("readTicket", args{"id": held.ID}, nil)
	}
	tickets.do("saveTicket", args{"id": held.ID, "fields": args{"orderId": theirOrder.ID}}, nil)
	orders.do("saveTicket", args{"id": held.ID, "fields": args{}}, nil)

	ourTickets := startOurs(t, "tickets", set.URI("tickets"), b)
	ourOrders := startOurs(t, "orders", set.URI("orders"), b, "CANONICAL_URL="+ourTickets.ops)
	at := func(id string) document {
		return read[document](t, ourTickets.call(t, "", http.MethodGet, ourTickets.url+"/api/tickets/"+id, nil, http.StatusOK))
	}
	list := read[[]document](t, ourTickets.call(t, "", http.MethodGet, ourTickets.url+"/api/tickets", nil, http.StatusOK))
	same(t, "free tickets", list, []document{free})
	edit := args{"title": "opera", "price": 40}
	ourTickets.call(t, "ann", http.MethodPut, ourTickets.url+"/api/tickets/"+held.ID, edit, http.StatusBadRequest)
	ourTickets.call(t, "ann", http.MethodPut, ourTickets.url+"/api/tickets/"+free.ID, edit, http.StatusOK)

	ourOrders.call(t, "bob", http.MethodDelete, ourOrders.url+"/api/orders/"+theirOrder.ID, nil, http.StatusNoContent)
	ourOrder := read[document](t, ourOrders.call(t, "carl", http.MethodPost, ourOrders.url+"/api/orders", args{"ticketId": free.ID}, http.StatusCreated))
	spawn.Until(t, "their lock is released and ours is held", func() bool {
		return at(held.ID).OrderID == "" && at(free.ID).OrderID == ourOrder.ID
	})
	spawn.Until(t, "the replica has followed", func() bool {
		var a, b document
		orders.do("ticket", args{"id": held.ID}, &a)
		orders.do("ticket", args{"id": free.ID}, &b)
		return a.Version == 3 && b.Version == 3 && b.Title == "opera" && b.Price == 40
	})
	ourOrders.Stop(t)
	ourTickets.Stop(t)

	var order, edited document
	orders.do("order", args{"id": theirOrder.ID}, &order)
	same(t, "their order after our cancellation", []any{order.Status, order.Version}, []any{"cancelled", int64(1)})
	for _, node := range []*peer{tickets, orders} {
		node.do("readTicket", args{"id": free.ID}, nil)
		node.do("saveTicket", args{"id": free.ID, "fields": args{"title": "ballet"}}, &edited)
		same(t, "version after Node's edit", edited.Version, int64(4))
	}
}

// copied puts a ticket into the replica that Node's orders service keeps.
func copied(orders *peer, d document) {
	orders.t.Helper()
	orders.do("createTicket", args{"fields": args{"_id": d.ID, "title": d.Title, "price": 20.5}}, nil)
	orders.do("readTicket", args{"id": d.ID}, nil)
	orders.do("saveTicket", args{"id": d.ID, "fields": args{"price": d.Price}}, nil)
}
