package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// orderCreated and orderCancelled are what another orders service says.
func orderCreated(order, ticket string) string {
	return fmt.Sprintf(`{"id":%q,"version":0,"status":"created","userId":"u","expiresAt":"2026-11-23T01:58:01.630Z","ticket":{"id":%q,"price":1}}`, order, ticket)
}

func orderCancelled(order, ticket string) string {
	return fmt.Sprintf(`{"id":%q,"version":1,"ticket":{"id":%q}}`, order, ticket)
}

// TestOrdersOfUnknownTickets: they are kept, then set aside, and stand in
// nobody's way; one of them is served when its ticket appears in time.
func TestOrdersOfUnknownTickets(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e, "HOLD_FOR=2s")
		bus := s.observe(t)
		for range 20 {
			bus.say(t, event.OrderCreated, orderCreated(objectid.New(), objectid.New()))
		}
		id, order := s.create(t, "ann@example.com").id(), objectid.New()
		bus.say(t, event.OrderCreated, orderCreated(order, id))
		until(t, "the ticket is locked", func() bool { return s.ticket(t, id).body["orderId"] == order })
		until(t, "the others are set aside", func() bool {
			r := s.do(t, "", http.MethodGet, s.ticketsOps+"/ops/replica/quarantine", nil, http.StatusOK)
			return strings.Count(r.raw, `"reason":"too_early"`) == 20
		})
	})
}

// TestForeignFieldsAndStaleEvents: fields of other publishers are ignored, and
// an event of the past neither resets a record nor comes back.
func TestForeignFieldsAndStaleEvents(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		bus := s.observe(t)
		id := objectid.New()
		more := func(v int64, extra string) string {
			_, payload := foreign(id, v)
			return strings.TrimSuffix(payload, "}") + extra + "}"
		}
		bus.say(t, event.TicketUpdated, more(1, `,"orderId":"`+objectid.New()+`"`)) // before its creation
		bus.say(t, event.TicketCreated, more(0, `,"seat":{"row":4},"id2":null`))
		bus.say(t, event.TicketUpdated, more(2, `,"orderId":null`))
		s.untilReplica(t, id, 2)
		for range 3 {
			bus.say(t, event.TicketCreated, more(0, ""))
			bus.say(t, event.TicketUpdated, more(1, ""))
		}
		last := objectid.New() // once this one is there, so are those before it
		bus.say(t, event.TicketCreated, strings.ReplaceAll(more(0, ""), id, last))
		bus.say(t, event.TicketUpdated, strings.ReplaceAll(more(1, ""), id, last))
		s.untilReplica(t, last, 1)
		if got := s.replica(t, id); got.version() != 2 || got.body["title"] != "at 2" {
			t.Errorf("replica = %s, want version 2", got.raw)
		}
		until(t, "everything is acknowledged", func() bool {
			metrics := s.do(t, "", http.MethodGet, s.ordersOps+"/metrics", nil, http.StatusOK).raw
			return strings.Contains(metrics, "\nlockstep_listener_in_flight") && !inFlight(metrics)
		})
	})
}

// inFlight reports whether a page of metrics counts unacknowledged messages.
func inFlight(metrics string) bool {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "lockstep_listener_in_flight") && !strings.HasSuffix(strings.TrimSpace(line), " 0") {
			return true
		}
	}
	return false
}
