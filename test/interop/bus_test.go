package interop

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/outbox"
	"lockstep/publishers"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
	"lockstep/ticket"
)

// TestANodeServiceReplicatesOurTickets has our outbox publish, through the
// change stream of another process's store, what Node's listener applies.
func TestANodeServiceReplicatesOurTickets(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	uri := set.URI(set.Database(t))
	writer, relaying := open(t, uri, mongodb.Options{}), open(t, uri, mongodb.Options{})
	b := brokertest.Start(t)
	node := startPeer(t, set.URI(set.Database(t)))
	node.do("connect", args{"url": b.URL(), "cluster": brokertest.ClusterID, "client": "node-orders"}, nil)
	node.do("replicate", nil, nil)
	relay, err := outbox.NewRelay(relaying.Outbox(), relaying.Outbox(), publishers.New(b.Dial(t, "tickets")), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	spawn.Background(t, relay.Run)

	service := ticket.NewService(writer.Tickets(), ticket.Options{})
	made := must[ticket.Ticket](t)(service.Create(t.Context(), "ann", ticket.Draft{Title: "concert", Price: 20.5}))
	for i := range 5 {
		must[ticket.Ticket](t)(service.Update(t.Context(), made.ID, "ann", ticket.Draft{Title: "concert", Price: float64(30 + i)}))
	}
	want := document{ID: made.ID, Title: "concert", Price: 34, Version: 5}
	spawn.Until(t, "Node's replica is at our version", func() bool {
		var got document
		node.do("ticket", args{"id": made.ID}, &got)
		return cmp.Equal(got, want)
	})
	spawn.Until(t, "our outbox is empty", func() bool {
		return must[outbox.Stats](t)(writer.Outbox().Stats(t.Context())).Pending == 0
	})
}

// TestWeReplicateTheTicketsOfANodeService has Node publish, out of order and
// twice, what our listener applies.
func TestWeReplicateTheTicketsOfANodeService(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	db := open(t, set.URI(set.Database(t)), mongodb.Options{Replica: "tickets"})
	b := brokertest.Start(t)
	handler := listeners.NewTickets(replica.NewProjector(db.Replica()), event.Scheme{})
	l, err := listeners.New(b.Dial(t, "orders"), handler, db.Quarantine(), listeners.Options{Group: listeners.OrdersService})
	if err != nil {
		t.Fatal(err)
	}
	spawn.Background(t, l.Run)
	node := startPeer(t, set.URI(set.Database(t)))
	node.do("connect", args{"url": b.URL(), "cluster": brokertest.ClusterID, "client": "node-tickets"}, nil)

	theirs := written(node)
	publish := func(subject event.Subject, version int64) {
		node.do("publish", args{"subject": subject, "data": args{
			"id": theirs.ID, "title": "concert", "price": 20.5 + float64(version), "userId": "ann", "version": version,
		}}, nil)
	}
	publish(event.TicketUpdated, 2)
	publish(event.TicketUpdated, 1)
	publish(event.TicketUpdated, 1)
	publish(event.TicketCreated, 0)
	publish(event.TicketCreated, 0)
	want := replica.Row{ID: theirs.ID, Version: 2, Title: "concert", Price: 22.5}
	spawn.Until(t, "our replica is at Node's version", func() bool {
		got, err := db.Replica().Row(t.Context(), theirs.ID)
		return err == nil && got == want
	})
}
