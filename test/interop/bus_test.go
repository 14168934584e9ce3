package interop

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/internal/broker/brokertest"
	"lockstep/internal/session"
	"lockstep/listeners"
	"lockstep/outbox"
	"lockstep/publishers"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

// patience is how long a replica may take to catch up. Node's listener gets a
// message that came too early again after a second.
const patience = 30 * time.Second

// dial returns a session that lasts as long as the test.
func dial(t *testing.T, b *brokertest.Broker, client string) *session.Session {
	t.Helper()
	s, err := session.New(session.Options{URL: b.URL(), ClusterID: brokertest.ClusterID, ClientID: client})
	if err != nil {
		t.Fatal(err)
	}
	background(t, s.Run)
	return s
}

// background runs a part of a service until the test ends.
func background(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !holds(); <-tick.C {
		if time.Since(began) > patience {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

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
	relay, err := outbox.NewRelay(relaying.Outbox(), relaying.Outbox(), publishers.New(dial(t, b, "tickets")), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	background(t, relay.Run)

	service := ticket.NewService(writer.Tickets(), ticket.Options{})
	made := must[ticket.Ticket](t)(service.Create(t.Context(), "ann", ticket.Draft{Title: "concert", Price: 20.5}))
	for i := range 5 {
		must[ticket.Ticket](t)(service.Update(t.Context(), made.ID, "ann", ticket.Draft{Title: "concert", Price: float64(30 + i)}))
	}
	want := document{ID: made.ID, Title: "concert", Price: 34, Version: 5}
	eventually(t, "Node's replica is at our version", func() bool {
		var got document
		node.do("ticket", args{"id": made.ID}, &got)
		return cmp.Equal(got, want)
	})
	eventually(t, "our outbox is empty", func() bool {
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
	l, err := listeners.New(dial(t, b, "orders"), handler, db.Quarantine(), listeners.Options{Group: listeners.OrdersService})
	if err != nil {
		t.Fatal(err)
	}
	background(t, l.Run)
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
	eventually(t, "our replica is at Node's version", func() bool {
		got, err := db.Replica().Row(t.Context(), theirs.ID)
		return err == nil && got == want
	})
}
