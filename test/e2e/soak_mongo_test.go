package e2e

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

const (
	unreadableDocs = "lockstep_store_unreadable_records"
	unreadableRows = "lockstep_outbox_unreadable"
)

func (s *trial) put(c *mongo.Collection, docs ...bson.D) {
	s.t.Helper()
	if _, err := c.InsertMany(s.t.Context(), docs); err != nil {
		s.t.Fatal(err)
	}
}

func (s *trial) take(c *mongo.Collection, filter bson.D) {
	s.t.Helper()
	if _, err := c.DeleteMany(s.t.Context(), filter); err != nil {
		s.t.Fatal(err)
	}
}

func (s *trial) drop(c *mongo.Collection) {
	s.t.Helper()
	if err := c.Drop(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func field(name string, value any) bson.D { return bson.D{{Key: name, Value: value}} }

// foreignEvents: another program writes into the outbox.
func (s *trial) foreignEvents(service string) {
	s.put(s.db[service].Collection("events"),
		field("name", "concert"),
		bson.D{{Key: "_id", Value: field("a", 1)}},
		bson.D{{Key: "_id", Value: 7}, {Key: "key", Value: "zzz"}, {Key: "version", Value: "1"}, {Key: "subject", Value: "s"}, {Key: "payload", Value: "{}"}},
		bson.D{{Key: "key", Value: nil}, {Key: "version", Value: nil}, {Key: "failures", Value: nil}, {Key: "isLocked", Value: "yes"}},
		bson.D{{Key: "_id", Value: math.Inf(1)}, {Key: "key", Value: bson.A{1}}, {Key: "version", Value: 1.5}, {Key: "notBefore", Value: "soon"}},
	)
	s.shows(service+" readyz: outbox", s.saysOf(service, service+" outbox: "))
	s.shows(service+" "+unreadableRows, func() bool { return s.sumOf(service, unreadableRows) >= 5 })
	s.discardForeign(service)
}

// foreignTickets: another program writes tickets, some of which can be read.
func foreignTickets(s *trial, _ *rand.Rand) {
	c := s.db["tickets"].Collection("tickets")
	s.put(c,
		bson.D{{Key: "title", Value: "imported"}, {Key: "price", Value: "20.5"}, {Key: "userId", Value: bson.NewObjectID()}},
		bson.D{{Key: "title", Value: 7}, {Key: "price", Value: int64(20)}, {Key: "userId", Value: "u"}, {Key: "version", Value: nil}},
		bson.D{{Key: "_id", Value: "foreign"}, {Key: "title", Value: "an id of its own"}, {Key: "price", Value: 1}, {Key: "userId", Value: "u"}, {Key: "version", Value: "3"}},
	)
	bad := field("foreign", true)
	s.put(c,
		append(bson.D{{Key: "title", Value: "dear"}, {Key: "price", Value: math.NaN()}}, bad...),
		append(bson.D{{Key: "_id", Value: field("x", 1)}, {Key: "title", Value: bson.A{}}, {Key: "price", Value: 1}}, bad...),
		append(bson.D{{Key: "_id", Value: 12}, {Key: "title", Value: "t"}, {Key: "price", Value: field("cents", 1)}, {Key: "version", Value: "new"}}, bad...),
	)
	s.shows("tickets "+unreadableDocs+"{table=tickets}", func() bool { return s.sumOf("tickets", unreadableDocs, `table="tickets"`) >= 1 })
	s.take(c, bad)
	s.take(c, field("_id", "foreign"))
	s.trustOwner("tickets")
}

// foreignRows: another program breaks rows of the replica.
func foreignRows(s *trial, _ *rand.Rand) {
	c := s.db["orders"].Collection("replica")
	bad := field("foreign", true)
	for _, change := range []bson.D{
		{{Key: "price", Value: math.NaN()}}, {{Key: "version", Value: "many"}}, {{Key: "version", Value: "0"}},
		{{Key: "version", Value: nil}}, {{Key: "title", Value: bson.A{}}}, {{Key: "version", Value: 1e300}},
	} {
		id, err := bson.ObjectIDFromHex(s.free())
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := c.UpdateByID(s.t.Context(), id, field("$set", append(change, bad...))); err != nil {
			s.t.Fatal(err)
		}
		for range 3 {
			r, err := s.try(s.t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id.Hex(), draft{"again", 21})
			s.answered("edit", r, err)
		}
	}
	s.put(c, append(bson.D{{Key: "_id", Value: 9}, {Key: "title", Value: 1}}, bad...), append(bson.D{{Key: "_id", Value: field("a", 1)}}, bad...))
	s.shows("orders "+unreadableDocs+"{table=replica}", func() bool { return s.sumOf("orders", unreadableDocs, `table="replica"`) >= 1 })
	s.take(c, bad)
}

// foreignOrders: another program writes orders, which are overdue.
func foreignOrders(s *trial, _ *rand.Rand) {
	c := s.db["orders"].Collection("orders")
	bad := field("foreign", true)
	var docs []bson.D
	for i := range 10 {
		docs = append(docs, append(bson.D{
			{Key: "userId", Value: "eve"}, {Key: "status", Value: "created"}, {Key: "version", Value: 0}, {Key: "ticket", Value: bson.NewObjectID()},
			{Key: "price", Value: []any{math.NaN(), "dear"}[i%2]}, {Key: "expiresAt", Value: time.Now().Add(-time.Hour)},
		}, bad...))
	}
	s.put(c, docs...)
	s.shows("orders lockstep_orders_overdue", func() bool { return s.sumOf("orders", "lockstep_orders_overdue") > 0 })
	s.shows("orders readyz: expiry", s.saysOf("orders", "orders expiry: "))
	s.take(c, bad)
}

const remade = "lockstep_mongodb_remade_total"

// dropIndexes: all but those of _id are gone, and everybody wants one ticket.
func dropIndexes(s *trial, _ *rand.Rand) {
	tickets, orders := s.sumOf("tickets", remade), s.sumOf("orders", remade)
	id := s.free()
	for _, c := range []string{"orders", "replica", "events", "quarantine", "payments"} {
		if err := s.db["orders"].Collection(c).Indexes().DropAll(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, c := range []string{"tickets", "locks", "events"} {
		if err := s.db["tickets"].Collection(c).Indexes().DropAll(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
	s.rush(id)
	s.rises(tickets, "tickets", remade)
	s.rises(orders, "orders", remade)
}

// rush has everybody want one ticket at once: one of them gets it.
func (s *trial) rush(id string) {
	s.t.Helper()
	var sold atomic.Int32
	var wanting sync.WaitGroup
	for i := range 12 {
		wanting.Go(func() {
			who := buyer(i % buyers)
			r, err := s.try(s.t, who, http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": id})
			if s.answered("rush", r, err) == http.StatusCreated {
				sold.Add(1)
				s.book.mu.Lock()
				s.book.orders[r.id()] = sale{id, who}
				s.book.mu.Unlock()
			}
		})
	}
	wanting.Wait()
	if n := sold.Load(); n > 1 {
		s.t.Errorf("ticket %s was sold %d times", id, n)
	}
}

// dropEvents: what was committed and not published is gone with the outbox.
func (s *trial) dropEvents(service string) {
	was := s.sumOf(service, remade)
	s.drop(s.db[service].Collection("events"))
	s.rises(was, service, remade)
	if service == "tickets" {
		s.command(s.ordersOps, "replica", "repair")
		return
	}
	s.trustOwner("orders") // alone it exits 4 beside paid orders of tickets that a restore took away
}

func dropReplica(s *trial, _ *rand.Rand) {
	was := s.sumOf("orders", remade)
	s.drop(s.db["orders"].Collection("replica"))
	s.rises(was, "orders", remade)
}

// dropOrders: what was sold is gone. Nothing is sold until a backup is there.
func dropOrders(s *trial, rng *rand.Rand) {
	kept := s.book.copyOf()
	back := s.orders.backUp(s.t)
	pause(s.t, time.Duration(3+rng.IntN(15))*time.Second)
	id := s.free()
	s.book.gate.Lock()
	s.drop(s.db["orders"].Collection("orders"))
	for i := range 3 {
		r, err := s.try(s.t, buyer(i), http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": id})
		if s.answered("reserve", r, err) == http.StatusCreated {
			s.t.Errorf("ticket %s was sold out of an empty collection: %s", id, r.raw)
		}
	}
	s.book.gate.Unlock()
	s.shows("orders readyz: store", s.saysOf("orders", "orders store: collection orders"))
	s.shows("orders lockstep_ready 0", func() bool { return s.sumOf("orders", "lockstep_ready") == 0 })
	s.putBack("orders", kept, back)
	s.trustOwner("orders")
}

// changeRow: a foreign hand gives a row of the replica another price.
func changeRow(s *trial, _ *rand.Rand) {
	id := s.free()
	s.foreignPrice("orders", "replica", id)
	s.shows("orders lockstep_replica_drift_rows{kind=differs}", func() bool {
		return s.sumOf("orders", "lockstep_replica_drift_rows", `kind="differs"`) > 0
	})
}

// changeTicket: a foreign hand gives a ticket another price and no version.
func changeTicket(s *trial, _ *rand.Rand) {
	id := s.free()
	s.foreignPrice("tickets", "tickets", id)
	s.shows("orders lockstep_replica_drift_rows{kind=differs}", func() bool {
		return s.sumOf("orders", "lockstep_replica_drift_rows", `kind="differs"`) > 0
	})
}

// foreignPrice writes a price past the service.
func (s *trial) foreignPrice(service, table, id string) {
	s.t.Helper()
	if s.db == nil {
		s.foreignSQL(service, fmt.Sprintf("UPDATE %s SET price = 1e6 WHERE id = '%s'", table, id))
		return
	}
	key, err := bson.ObjectIDFromHex(id)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.db[service].Collection(table).UpdateByID(s.t.Context(), key, field("$set", field("price", 1e6))); err != nil {
		s.t.Fatal(err)
	}
}

// refuseDocuments: somebody gives collections validators that refuse what is
// written to them.
func refuseDocuments(s *trial, rng *rand.Rand) {
	validate := func(validator bson.D) {
		for service, collection := range map[string]string{"tickets": "events", "orders": "replica"} {
			command := bson.D{{Key: "collMod", Value: collection}, {Key: "validator", Value: validator}}
			if err := s.db[service].RunCommand(s.t.Context(), command).Err(); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	validate(field("never", 1))
	s.showRefusals("a validator that refuses what the service writes", rng)
	validate(bson.D{})
}
