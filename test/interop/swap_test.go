package interop

import (
	"encoding/json"
	"net/http"
	"testing"

	"lockstep/event"
	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// TestOurOrdersBesideNodeTickets: a ticket of Node's is ordered and given back
// at our service.
func TestOurOrdersBesideNodeTickets(t *testing.T) {
	t.Parallel()
	set, b := mongotest.Shared(t), brokertest.Start(t)
	node := startPeer(t, set.URI(set.Database(t)))
	node.do("connect", args{"url": b.URL(), "cluster": brokertest.ClusterID, "client": "node-tickets"}, nil)
	node.do("lock", nil, nil)
	ours := startOurs(t, "orders", set.URI(set.Database(t)), b)
	replica := func(id string, version int64) {
		t.Helper()
		spawn.Until(t, "our replica is at Node's version", func() bool {
			resp, err := http.Get(ours.ops + "/ops/replica/tickets/" + id)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			var got document
			return json.NewDecoder(resp.Body).Decode(&got) == nil && got.Version == version
		})
	}

	theirs := written(node)
	tell := args{"id": theirs.ID, "title": "concert", "userId": "ann"}
	node.do("publish", args{"subject": event.TicketUpdated, "data": with(tell, args{"price": 30, "version": 1})}, nil)
	node.do("publish", args{"subject": event.TicketCreated, "data": with(tell, args{"price": 20.5, "version": 0})}, nil)
	replica(theirs.ID, 1)

	order := read[document](t, ours.call(t, "bob", http.MethodPost, ours.url+"/api/orders", args{"ticketId": theirs.ID}, http.StatusCreated))
	replica(theirs.ID, 2)
	var held document
	node.do("ticket", args{"id": theirs.ID}, &held)
	same(t, "holder at Node's", held.OrderID, order.ID)

	ours.call(t, "bob", http.MethodDelete, ours.url+"/api/orders/"+order.ID, nil, http.StatusNoContent)
	replica(theirs.ID, 3)
	var free document
	node.do("ticket", args{"id": theirs.ID}, &free)
	same(t, "ticket at Node's after the release", free, document{ID: theirs.ID, Title: "concert", Price: 30, UserID: "ann", Version: 3})
}

// TestOurTicketsBesideNodeOrders: Node's replica follows every version that
// our service makes, also those of reserving and releasing.
func TestOurTicketsBesideNodeOrders(t *testing.T) {
	t.Parallel()
	set, b := mongotest.Shared(t), brokertest.Start(t)
	node := startPeer(t, set.URI(set.Database(t)))
	node.do("connect", args{"url": b.URL(), "cluster": brokertest.ClusterID, "client": "node-orders"}, nil)
	node.do("replicate", nil, nil)
	ours := startOurs(t, "tickets", set.URI(set.Database(t)), b)
	replica := func(want document) {
		t.Helper()
		spawn.Until(t, "Node's replica is at our version", func() bool {
			var got *document
			node.do("ticket", args{"id": want.ID}, &got)
			return got != nil && got.Version == want.Version && got.Title == want.Title && got.Price == want.Price
		})
	}

	made := read[document](t, ours.call(t, "ann", http.MethodPost, ours.url+"/api/tickets", args{"title": "concert", "price": "20.50"}, http.StatusCreated))
	url := ours.url + "/api/tickets/" + made.ID
	ours.call(t, "ann", http.MethodPut, url, args{"title": "opera", "price": 30}, http.StatusOK)
	replica(document{ID: made.ID, Title: "opera", Price: 30, Version: 1})

	const order = "6b0300000000000000000001"
	node.do("publish", args{"subject": event.OrderCreated, "data": args{
		"id": order, "version": 0, "status": "created", "userId": "bob", "expiresAt": "2030-11-23T01:58:01.630Z",
		"ticket": args{"id": made.ID, "price": 30},
	}}, nil)
	replica(document{ID: made.ID, Title: "opera", Price: 30, Version: 2})
	ours.call(t, "ann", http.MethodPut, url, args{"title": "x", "price": 1}, http.StatusBadRequest)

	node.do("publish", args{"subject": event.OrderCancelled, "data": args{"id": order, "version": 1, "ticket": args{"id": made.ID}}}, nil)
	replica(document{ID: made.ID, Title: "opera", Price: 30, Version: 3})
	ours.call(t, "ann", http.MethodPut, url, args{"title": "ballet", "price": 40}, http.StatusOK)
	replica(document{ID: made.ID, Title: "ballet", Price: 40, Version: 4})
}

func with(a, more args) args {
	sum := args{}
	for _, part := range []args{a, more} {
		for k, v := range part {
			sum[k] = v
		}
	}
	return sum
}
