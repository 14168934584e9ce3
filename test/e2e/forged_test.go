package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// exits runs a command and wants its exit code and each of the texts.
func exits(t *testing.T, code int, says []string, args ...string) {
	t.Helper()
	out, got := lockstep(t, args...)
	if got != code {
		t.Errorf("lockstep %s: exit %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	for _, text := range says {
		if !strings.Contains(out, text) {
			t.Errorf("lockstep %s does not say %q:\n%s", strings.Join(args, " "), text, out)
		}
	}
}

// untilGet waits until an answer has a text.
func (s *system) untilGet(t *testing.T, url, text string) {
	t.Helper()
	until(t, url+" says "+text, func() bool {
		return strings.Contains(s.do(t, "", http.MethodGet, url, nil, http.StatusOK).raw, text)
	})
}

// untilPrice waits until the replica has a version at a price.
func (s *system) untilPrice(t *testing.T, id string, version int64, price float64) {
	t.Helper()
	until(t, fmt.Sprintf("the replica has version %d of %s at %v", version, id, price), func() bool {
		r := s.replica(t, id)
		return r.status == http.StatusOK && r.version() == version && r.body["price"] == price && r.body["deleted"] != true
	})
}

// Case 11.6: forged events of tickets are seen by verify and by the comparison
// in the background, which mends those that are safe; reset mends the others.
func TestForgedTicketsHaveAWayBack(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e, "COMPARE_EVERY=5s")
		bus := s.observe(t)
		ids := map[string]string{}
		for _, name := range []string{"deleted", "high", "next", "same"} {
			ids[name] = s.create(t, "ann@example.com").id()
			s.untilPrice(t, ids[name], 0, 20.5)
		}
		ghost := objectid.New()
		bus.say(t, event.TicketCreated, fmt.Sprintf(`{"id":%q,"version":0,"title":"ghost","price":0.01,"userId":"u"}`, ghost))
		bus.say(t, event.TicketDeleted, fmt.Sprintf(`{"id":%q,"version":1}`, ids["deleted"]))
		forge := func(id, versions string) {
			bus.say(t, event.TicketUpdated, fmt.Sprintf(`{"id":%q,"title":"forged","price":0.01,"userId":"u",%s}`, id, versions))
		}
		forge(ids["high"], `"version":9007199254740992,"previousVersion":0`)
		forge(ids["next"], `"version":1`)
		forge(ids["same"], `"version":1`)
		s.untilReplica(t, ghost, 0)
		s.untilReplica(t, ids["deleted"], 1)
		s.untilReplica(t, ids["high"], 1<<53)
		s.untilPrice(t, ids["next"], 1, 0.01)
		s.untilPrice(t, ids["same"], 1, 0.01)

		edit := func(id string, price float64) {
			t.Helper()
			s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{"concert", price}, http.StatusOK)
		}
		edit(ids["same"], 30) // the owner comes to the forged version
		s.untilPrice(t, ids["same"], 1, 30)

		s.untilGet(t, s.ordersOps+"/metrics", `lockstep_replica_drift_rows{kind="ahead",service="orders"} 3`)
		s.untilGet(t, s.ordersOps+"/metrics", `lockstep_replica_drift_rows{kind="extra",service="orders"} 1`)
		incidents := s.ordersOps + "/ops/outbox/incidents?open="
		s.untilGet(t, incidents+"true", `"cause":"drift_unmended"`)
		exits(t, 4, []string{
			ghost + "  extra", ids["deleted"] + "  ahead: replica deleted at version 1", ids["high"] + "  ahead", ids["next"] + "  ahead", "4 differ",
		}, "replica", "verify", "--ops-url", s.ordersOps)
		exits(t, 0, []string{"is nothing"}, "replica", "reset", ghost, "--ops-url", s.ordersOps)
		for _, name := range []string{"deleted", "high", "next"} {
			exits(t, 0, []string{`is version 0 "concert" at 20.5`}, "replica", "reset", ids[name], "--ops-url", s.ordersOps)
		}
		exits(t, 0, []string{"0 differ"}, "replica", "verify", "--ops-url", s.ordersOps)
		s.untilGet(t, incidents+"false", `"cause":"drift_unmended"`)

		s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": ghost}, http.StatusNotFound)
		for _, name := range []string{"deleted", "high", "next"} {
			edit(ids[name], 40) // its events count again
			s.untilPrice(t, ids[name], 1, 40)
		}
	})
}

// TestTheOrderOfAForgedTicketGoesWithIt: the comparison of locks finds it, and
// whoever removes the ticket ends it, one by a reset, one by trust. One that is
// paid a person ends, as the runbook says. Case 11.6.
func TestTheOrderOfAForgedTicketGoesWithIt(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e, "COMPARE_EVERY=5s", "HOLD_FOR=2s")
		bus := s.observe(t)
		ghosts, orders := []string{objectid.New(), objectid.New(), objectid.New()}, []string{}
		for _, ghost := range ghosts {
			bus.say(t, event.TicketCreated, fmt.Sprintf(`{"id":%q,"version":0,"title":"ghost","price":0.01,"userId":"u"}`, ghost))
			s.untilReplica(t, ghost, 0)
			bought := s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": ghost}, http.StatusCreated)
			orders = append(orders, bought.id())
		}
		paid, orders := orders[2], orders[:2]
		bus.say(t, event.PaymentCreated, fmt.Sprintf(`{"id":%q,"orderId":%q,"stripeId":"s"}`, objectid.New(), paid))
		until(t, "it is paid", func() bool {
			return s.do(t, "bob@example.com", http.MethodGet, s.ordersURL+"/api/orders/"+paid, nil, http.StatusOK).body["status"] == "complete"
		})
		s.untilGet(t, s.ticketsOps+"/metrics", `lockstep_lock_drift{kind="no_ticket",service="tickets"} 3`)
		s.untilGet(t, s.ticketsOps+"/ops/outbox/incidents?open=true", `"subject":"orders"`)
		exits(t, 4, []string{"3 orders are of tickets", orders[0], ghosts[1]}, "locks", "reconcile", "--ops-url", s.ticketsOps)

		exits(t, 0, []string{"is nothing"}, "replica", "reset", ghosts[0], "--ops-url", s.ordersOps)
		exits(t, 0, []string{"2 removed"}, "replica", "repair", "--trust-owner", "--ops-url", s.ordersOps)
		for i, order := range orders {
			got := s.do(t, "bob@example.com", http.MethodGet, s.ordersURL+"/api/orders/"+order, nil, http.StatusOK)
			if got.body["status"] != "cancelled" {
				t.Errorf("the order of ghost %d: %s, want it cancelled", i, got.raw)
			}
		}
		exits(t, 0, []string{"0 differ"}, "replica", "verify", "--ops-url", s.ordersOps)
		exits(t, 4, []string{"1 orders are of tickets", paid}, "locks", "reconcile", "--ops-url", s.ticketsOps)
		exits(t, 0, []string{"1 orders are of tickets", paid}, "locks", "reconcile", "--trust-owner", "--ops-url", s.ticketsOps)
		s.orders.writes(t, func(ctx context.Context, db *mongo.Database) error {
			id, err := bson.ObjectIDFromHex(paid)
			if err != nil {
				return err
			}
			_, err = db.Collection("orders").UpdateOne(ctx, bson.M{"_id": id}, bson.M{"$set": bson.M{"status": "cancelled"}, "$inc": bson.M{"version": 1}})
			return err
		}, "UPDATE orders SET status = 'cancelled', version = version + 1 WHERE id = '"+paid+"'")
		exits(t, 0, []string{"1 message"}, "replica", "quarantine", "discard", "--key", paid, "--ops-url", s.ticketsOps)
		exits(t, 0, nil, "locks", "reconcile", "--ops-url", s.ticketsOps)
		s.untilGet(t, s.ticketsOps+"/metrics", `lockstep_lock_drift{kind="no_ticket",service="tickets"} 0`)
		s.untilGet(t, s.ticketsOps+"/ops/outbox/incidents?open=false", `"subject":"orders"`)
		until(t, "nothing of them is in quarantine", func() bool {
			out, code := lockstep(t, "replica", "quarantine", "list", "--ops-url", s.ticketsOps)
			return code == 0 && strings.Contains(out, "nothing was set aside")
		})
	})
}

// Case 11.6: what the owner's API would not take is set aside with its reason.
func TestEventsThatBreakTheOwnersRulesAreSetAside(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		bus := s.observe(t)
		id := s.create(t, "ann@example.com").id()
		s.untilReplica(t, id, 0)
		for fields, why := range map[string]string{
			`"title":"t","price":-5,"version":1`:                                      "price is not above 0",
			`"title":"t","price":1e999,"version":1`:                                   "price is not a number",
			`"title":"","price":1,"version":1`:                                        "title must have 1 to 102400 bytes",
			`"title":"` + strings.Repeat("t", 200_000) + `","price":1,"version":1`:    "title must have 1 to 102400 bytes",
			`"title":"t","price":1,"version":9223372036854775807,"previousVersion":0`: "version is above 2^53",
		} {
			bus.say(t, event.TicketUpdated, fmt.Sprintf(`{"id":%q,"userId":"u",%s}`, id, fields))
			s.untilGet(t, s.ordersOps+"/ops/replica/quarantine?reason=undecodable", why)
			exits(t, 0, []string{"1 messages are gone"}, "replica", "quarantine", "discard", "--reason", "undecodable", "--ops-url", s.ordersOps)
		}
		bus.say(t, event.OrderCreated, fmt.Sprintf(`{"id":%q,"version":9223372036854775807,"ticket":{"id":%q}}`, objectid.New(), id))
		s.untilGet(t, s.ticketsOps+"/ops/replica/quarantine", "version is above 2^53")
		s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{"concert", 30}, http.StatusOK)
		s.untilPrice(t, id, 1, 30)
	})
}

// Case 11.6: forged events of orders. What the orders service contradicts is
// mended by the comparison in the background, what it does not know is reported.
func TestForgedOrdersHaveAWayBack(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e, "COMPARE_EVERY=5s")
		bus := s.observe(t)
		create := func() string {
			id := s.create(t, "ann@example.com").id()
			s.untilReplica(t, id, 0)
			return id
		}
		reserve := func(ticket string) string {
			t.Helper()
			order := s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": ticket}, http.StatusCreated).id()
			s.untilHeld(t, ticket, order)
			return order
		}
		cancel := func(order string) {
			t.Helper()
			s.do(t, "bob@example.com", http.MethodDelete, s.ordersURL+"/api/orders/"+order, nil, http.StatusNoContent)
		}
		forge := func(subject event.Subject, order, ticket string, version int64) {
			t.Helper()
			bus.say(t, subject, fmt.Sprintf(`{"id":%q,"version":%d,"ticket":{"id":%q,"price":1}}`, order, version, ticket))
			until(t, "the forged event is known", func() bool {
				r, err := s.try(t, "", http.MethodGet, s.ticketsOps+"/ops/locks/"+order, nil)
				return err == nil && r.status == http.StatusOK && r.version() == version
			})
		}
		freed, moved, target, again, counted, stolen := create(), create(), create(), create(), create(), create()

		live := reserve(freed)
		forge(event.OrderCancelled, live, freed, 9)
		elsewhere := reserve(moved) // is made to hold a ticket that it never asked for
		bus.say(t, event.OrderCancelled, fmt.Sprintf(`{"id":%q,"version":7,"ticket":{"id":%q}}`, elsewhere, moved))
		s.untilHeld(t, moved, "")
		bus.say(t, event.OrderCreated, fmt.Sprintf(`{"id":%q,"version":8,"ticket":{"id":%q,"price":1}}`, elsewhere, target))
		over := reserve(again)
		cancel(over)
		s.untilHeld(t, again, "")
		bus.say(t, event.OrderCreated, fmt.Sprintf(`{"id":%q,"version":900,"ticket":{"id":%q,"price":1}}`, over, again))
		high := reserve(counted)
		bus.say(t, event.OrderCreated, fmt.Sprintf(`{"id":%q,"version":9007199254740992,"ticket":{"id":%q,"price":1}}`, high, counted))
		ghost := objectid.New()
		forge(event.OrderCreated, ghost, stolen, 0)

		s.untilHeld(t, freed, live)
		s.untilHeld(t, moved, elsewhere)
		s.untilHeld(t, target, "")
		s.untilHeld(t, again, "")
		until(t, "the forged version is taken back", func() bool {
			return s.do(t, "", http.MethodGet, s.ticketsOps+"/ops/locks/"+high, nil, http.StatusOK).version() < 1<<53
		})
		cancel(high)
		s.untilHeld(t, counted, "")

		s.untilGet(t, s.ticketsOps+"/metrics", `lockstep_lock_drift{kind="no_order",service="tickets"} 1`)
		incidents := s.ticketsOps + "/ops/outbox/incidents?open="
		s.untilGet(t, incidents+"true", "lockstep locks reset "+ghost)
		s.untilHeld(t, stolen, ghost)
		exits(t, 4, []string{"order " + ghost + "  ticket " + stolen}, "locks", "reconcile", "--ops-url", s.ticketsOps)
		exits(t, 4, []string{"order " + ghost + "  ticket " + stolen}, "replica", "repair", "--ops-url", s.ticketsOps)
		exits(t, 0, []string{ghost + " was held, ticket " + stolen + ", version 0; is released"}, "locks", "reset", ghost, "--ops-url", s.ticketsOps)
		s.untilHeld(t, stolen, "")
		s.untilGet(t, incidents+"false", `"cause":"drift_unmended"`)

		ghost = objectid.New()
		forge(event.OrderCreated, ghost, stolen, 0)
		exits(t, 0, []string{"1 locks released of orders that the orders service does not have"}, "locks", "reconcile", "--trust-owner", "--ops-url", s.ticketsOps)
		s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+stolen, draft{"mine again", 30}, http.StatusOK)
		s.untilHeld(t, freed, live) // trust released none that lives
	})
}

// untilHeld waits until the ticket is held by the order; "" is none.
func (s *system) untilHeld(t *testing.T, ticket, order string) {
	t.Helper()
	until(t, fmt.Sprintf("ticket %s is held by %q", ticket, order), func() bool {
		by, _ := s.ticket(t, ticket).body["orderId"].(string)
		return by == order
	})
}
