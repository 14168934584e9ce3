package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// soon are settings with which a listener soon misses what it was not given.
var soon = []string{"ACK_WAIT=1s", "HOLD_FOR=1s"}

// TestARestoredOrdersStoreCatchesUp: the orders service's store comes from a backup, and its
// group went on. Locks of orders that it lost are found, and released when it is
// trusted. Case 10.5.
func TestARestoredOrdersStoreCatchesUp(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, restoreOrders)
}

func restoreOrders(t *testing.T, e engine) {
	s := newSystem(t, e, soon...)
	bus := s.observe(t)
	id := s.create(t, "ann@example.com").id()
	s.untilReplica(t, id, 0)
	paid := s.create(t, "ann@example.com").id()
	s.untilReplica(t, paid, 0)
	order := s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": paid}, http.StatusCreated).id()
	s.untilReplica(t, paid, 1)
	restore := s.orders.backUp(t)

	s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{"new", 99}, http.StatusOK)
	late := s.create(t, "ann@example.com").id()
	sold := s.create(t, "ann@example.com").id()
	s.untilReplica(t, sold, 0)
	s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": sold}, http.StatusCreated)
	s.untilReplica(t, sold, 1)
	s.untilReplica(t, id, 1)
	s.untilReplica(t, late, 0)
	bus.say(t, event.PaymentCreated, fmt.Sprintf(`{"id":%q,"orderId":%q,"stripeId":"s"}`, objectid.New(), order))
	complete := func() bool {
		r := s.do(t, "bob@example.com", http.MethodGet, s.ordersURL+"/api/orders/"+order, nil, http.StatusOK)
		return r.body["status"] == "complete"
	}
	until(t, "the order is complete", complete)
	s.orders.stop(t)
	restore()
	s.orders.start(t)

	until(t, "it shows that messages are missed", func() bool {
		return s.orders.sum(t, "lockstep_listener_unaccounted_messages") > 0
	})
	within(t, 90*time.Second, "what came after the backup is there again", func() bool {
		return s.replica(t, id).version() == 1 && s.replica(t, late).status == http.StatusOK && complete()
	})
	until(t, "it is told", func() bool { return strings.Contains(s.orders.Output(), "restored from a backup") })
	out, code := lockstep(t, "replica", "verify", "--ops-url", s.ordersOps)
	if code != 0 {
		t.Errorf("verify: exit %d\n%s", code, out)
	}

	out, code = lockstep(t, "locks", "reconcile", "--ops-url", s.ticketsOps)
	if code != 4 || !strings.Contains(out, "ticket "+sold) {
		t.Errorf("comparison of the locks: exit %d, want the lock of the order that was lost\n%s", code, out)
	}
	if out, code = lockstep(t, "locks", "reconcile", "--trust-owner", "--ops-url", s.ticketsOps); code != 0 {
		t.Errorf("locks as the owner says: exit %d\n%s", code, out)
	}
	s.untilReplica(t, sold, 2)
	s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+sold, draft{"for sale again", 2}, http.StatusOK)
}

// TestARestoredTicketsStoreCatchesUp: the tickets service's store comes from a
// backup. Locks that came later are there again, so nobody edits what is sold;
// versions that the replica has and the owner lost are found, and go back when
// the owner is trusted. An edit that is made again is an event again. Cases 10.1
// and 10.5.
func TestARestoredTicketsStoreCatchesUp(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, restoreTickets)
}

func restoreTickets(t *testing.T, e engine) {
	s := newSystem(t, e, soon...)
	edited, sold := s.create(t, "ann@example.com").id(), s.create(t, "ann@example.com").id()
	s.untilReplica(t, edited, 0)
	s.untilReplica(t, sold, 0)
	restore := s.tickets.backUp(t)

	s.edit(t, edited, 2)
	s.untilReplica(t, edited, 2)
	ghost := s.create(t, "ann@example.com").id()
	s.untilReplica(t, ghost, 0)
	order := s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": sold}, http.StatusCreated).id()
	s.untilReplica(t, sold, 1)
	s.tickets.stop(t)
	restore()
	s.tickets.start(t)

	within(t, 90*time.Second, "the lock of the living order is there again", func() bool {
		return s.ticket(t, sold).body["orderId"] == order
	})
	s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+sold, draft{"new", 99}, http.StatusBadRequest)
	out, code := lockstep(t, "replica", "verify", "--ops-url", s.ordersOps)
	if code != 4 || !strings.Contains(out, edited+"  ahead") || !strings.Contains(out, ghost+"  extra") {
		t.Errorf("verify: exit %d, want what the owner lost\n%s", code, out)
	}
	if out, code = lockstep(t, "replica", "repair", "--trust-owner", "--ops-url", s.ordersOps); code != 0 {
		t.Errorf("repair: exit %d\n%s", code, out)
	}
	if out, code = lockstep(t, "replica", "verify", "--ops-url", s.ordersOps); code != 0 {
		t.Errorf("verify after the repair: exit %d\n%s", code, out)
	}
	s.edit(t, edited, 1)
	s.untilReplica(t, edited, 1)
}
