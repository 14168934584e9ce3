package interop

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"lockstep/event"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

// shared returns a peer and a store on one database.
func shared(t *testing.T, o mongodb.Options) (*peer, *mongodb.DB) {
	t.Helper()
	set := mongotest.Shared(t)
	uri := set.URI(set.Database(t))
	node := startPeer(t, uri)
	return node, open(t, uri, o)
}

func open(t *testing.T, uri string, o mongodb.Options) *mongodb.DB {
	t.Helper()
	db, err := mongodb.Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func same(t *testing.T, what string, got, want any, opts ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, opts...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var fields = args{"title": "concert", "price": 20.5, "userId": "ann"}

// written makes Node write a ticket and edit it once: version 1.
func written(node *peer) document {
	node.t.Helper()
	var d document
	node.do("createTicket", args{"fields": fields}, &d)
	node.do("readTicket", args{"id": d.ID}, nil)
	node.do("saveTicket", args{"id": d.ID, "fields": args{"price": 30}}, &d)
	return d
}

func TestTicketsOfTheNodeServiceAreContinued(t *testing.T) {
	t.Parallel()
	node, db := shared(t, mongodb.Options{})
	service := ticket.NewService(db.Tickets(), ticket.Options{})
	theirs := written(node)

	got := must[ticket.Ticket](t)(service.Ticket(t.Context(), theirs.ID))
	same(t, "their ticket", got, ticket.Ticket{ID: theirs.ID, Title: "concert", Price: 30, UserID: "ann", Version: 1})

	ours := must[ticket.Ticket](t)(service.Update(t.Context(), theirs.ID, "ann", ticket.Draft{Title: "opera", Price: 99.99}))
	same(t, "version after our edit", ours.Version, int64(2))
	var read document
	node.do("ticket", args{"id": theirs.ID}, &read)
	same(t, "our edit, as Node reads it", read, document{ID: theirs.ID, Title: "opera", Price: 99.99, UserID: "ann", Version: 2})

	node.do("readTicket", args{"id": theirs.ID}, nil)
	node.do("saveTicket", args{"id": theirs.ID, "fields": args{"title": "ballet"}}, nil)
	same(t, "their edit", must[ticket.Ticket](t)(service.Ticket(t.Context(), theirs.ID)),
		ticket.Ticket{ID: theirs.ID, Title: "ballet", Price: 99.99, UserID: "ann", Version: 3},
		cmpopts.IgnoreFields(ticket.Ticket{}, "Revision"))
}

// TestDeletedTicketsAreWholeForNode goes back to Node, which knows no deletion,
// on the databases of both services. Case 9.6.
func TestDeletedTicketsAreWholeForNode(t *testing.T) {
	t.Parallel()
	node, owner := shared(t, mongodb.Options{})
	copier, copies := shared(t, mongodb.Options{Replica: "tickets"})
	service := ticket.NewService(owner.Tickets(), ticket.Options{})
	theirs := written(node)
	if err := service.Delete(t.Context(), theirs.ID, "ann"); err != nil {
		t.Fatal(err)
	}
	events := must[[]outbox.Record](t)(owner.Outbox().Key(t.Context(), theirs.ID, event.None, 1))
	gone := must[event.TicketChange](t)(event.Scheme{}.DecodeTicket(event.TicketDeleted, events[0].Payload))
	must[int](t)(copies.Replica().Write(t.Context(), []replica.Write{
		{From: event.None, Row: replica.Row{ID: theirs.ID, Title: "concert", Price: 30, Version: 1}},
	}))
	must[[]event.Outcome](t)(replica.NewProjector(copies.Replica()).Apply(t.Context(), []event.TicketChange{gone}))

	for side, peer := range map[string]*peer{"owner": node, "replica": copier} {
		var read document
		peer.do("ticket", args{"id": theirs.ID}, &read)
		read.UserID = "" // a replica has none
		same(t, "what Node reads: "+side, read, document{ID: theirs.ID, Title: "concert", Price: 30, Version: 2})
	}
}

// TestNobodysEditIsOverwritten races one edit of each side on what both read.
func TestNobodysEditIsOverwritten(t *testing.T) {
	t.Parallel()
	node, db := shared(t, mongodb.Options{})
	service := ticket.NewService(db.Tickets(), ticket.Options{})
	theirs := written(node)

	node.do("readTicket", args{"id": theirs.ID}, nil)
	must[ticket.Ticket](t)(service.Update(t.Context(), theirs.ID, "ann", ticket.Draft{Title: "ours", Price: 1}))
	if a := node.ask("saveTicket", args{"id": theirs.ID, "fields": args{"title": "theirs"}}); a.Error != "VersionError" {
		t.Errorf("Node's save over our edit: %+v, want VersionError", a)
	}

	was := must[ticket.Ticket](t)(db.Tickets().Ticket(t.Context(), theirs.ID))
	node.do("readTicket", args{"id": theirs.ID}, nil)
	node.do("saveTicket", args{"id": theirs.ID, "fields": args{"title": "theirs"}}, nil)
	now := was
	now.Version++
	if err := db.Tickets().Commit(t.Context(), ticket.Change{Was: &was, Now: &now}); !errors.Is(err, ticket.ErrConflict) {
		t.Errorf("our commit over Node's edit: %v, want %v", err, ticket.ErrConflict)
	}
}

func TestLocksOfTheNodeServiceHold(t *testing.T) {
	t.Parallel()
	node, db := shared(t, mongodb.Options{})
	service := ticket.NewService(db.Tickets(), ticket.Options{})
	theirs := written(node)
	const theirOrder, ourOrder = "6b0300000000000000000001", "6b0300000000000000000002"
	node.do("readTicket", args{"id": theirs.ID}, nil)
	node.do("saveTicket", args{"id": theirs.ID, "fields": args{"orderId": theirOrder}}, nil)

	if _, err := service.Update(t.Context(), theirs.ID, "ann", ticket.Draft{Title: "x", Price: 1}); !errors.Is(err, ticket.ErrReserved) {
		t.Errorf("edit of a ticket that Node has locked: %v", err)
	}
	must[event.Outcome](t)(service.Lock(t.Context(), event.Reserved{OrderID: ourOrder, TicketID: theirs.ID}))
	must[event.Outcome](t)(service.Release(t.Context(), event.Cancelled{OrderID: theirOrder, Version: 1, TicketID: theirs.ID}))
	var read document
	node.do("ticket", args{"id": theirs.ID}, &read)
	same(t, "holder after the release of Node's lock", read.OrderID, ourOrder)

	must[event.Outcome](t)(service.Release(t.Context(), event.Cancelled{OrderID: ourOrder, Version: 1, TicketID: theirs.ID}))
	var free []document
	node.do("freeTickets", nil, &free)
	if len(free) != 1 || free[0].ID != theirs.ID {
		t.Errorf("Node sees the free tickets %v, want the one that was released", free)
	}
}

func TestOrdersOfTheNodeServiceAreContinued(t *testing.T) {
	t.Parallel()
	node, db := shared(t, mongodb.Options{Replica: "tickets"})
	service := order.NewService(db.Orders(), db.OrderTickets(), order.Options{})
	var first, second, theirs document
	node.do("createTicket", args{"fields": args{"title": "concert", "price": 20.5}}, &first)
	node.do("createTicket", args{"fields": args{"title": "opera", "price": 40}}, &second)
	expires := time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC)
	node.do("createOrder", args{"fields": args{
		"userId": "bob", "status": "created", "ticket": first.ID, "expiresAt": expires,
	}}, &theirs)

	got := must[order.View](t)(service.Order(t.Context(), "bob", theirs.ID))
	same(t, "their order", got, order.View{
		Order:  order.Order{ID: theirs.ID, UserID: "bob", Status: order.Created, ExpiresAt: expires, TicketID: first.ID},
		Ticket: order.Ticket{ID: first.ID, Title: "concert", Price: 20.5},
	})
	if _, err := service.Reserve(t.Context(), "eve", first.ID); !errors.Is(err, order.ErrReserved) {
		t.Errorf("reserve what Node has reserved: %v", err)
	}
	ours := must[order.View](t)(service.Reserve(t.Context(), "bob", second.ID))
	var all []order.View
	for v, err := range service.Orders(t.Context(), "bob") {
		all = append(all, must[order.View](t)(v, err))
	}
	if len(all) != 2 || all[0].ID != theirs.ID || all[1].ID != ours.ID {
		t.Errorf("bob's orders are %v, want Node's and then ours", all)
	}
	if err := service.Cancel(t.Context(), "bob", theirs.ID); err != nil {
		t.Fatal(err)
	}

	var read document
	node.do("order", args{"id": theirs.ID}, &read)
	same(t, "their order after our cancellation", []any{read.Status, read.Version}, []any{"cancelled", int64(1)})
	node.do("order", args{"id": ours.ID}, &read)
	var populated document
	if err := json.Unmarshal(read.Ticket, &populated); err != nil {
		t.Fatal(err)
	}
	same(t, "the ticket of our order, as Node reads it", populated, document{ID: second.ID, Title: "opera", Price: 40})
}
