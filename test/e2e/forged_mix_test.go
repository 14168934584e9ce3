package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// TestForgedEventsInAnyMixHaveAWayBack: several forged events for each ticket, one
// upon the other. Once the owner is trusted nothing is left of them, and the
// tickets are edited, ordered and released as any other. Case 11.6.
func TestForgedEventsInAnyMixHaveAWayBack(t *testing.T) {
	t.Parallel()
	// What is said of a ticket: the subject, and the fields besides its id, or which
	// of two orders says it.
	const content = `"title":"forged","price":0.01,"userId":"eve"`
	mixes := map[string][][2]string{
		"deleted, then created":          {{"ticket:deleted", `"version":1`}, {"ticket:created", content + `,"version":0`}},
		"deleted, then brought back":     {{"ticket:deleted", `"version":1`}, {"ticket:updated", content + `,"version":2`}},
		"far ahead, then deleted":        {{"ticket:updated", content + `,"version":4503599627370496,"previousVersion":0`}, {"ticket:deleted", `"version":4503599627370497`}},
		"the highest version, deleted":   {{"ticket:deleted", `"version":9007199254740992,"previousVersion":0`}},
		"two versions with one distance": {{"ticket:updated", content + `,"version":7,"previousVersion":0`}, {"ticket:updated", content + `,"version":3,"previousVersion":0`}},
		"a version upon a later one":     {{"ticket:updated", content + `,"version":9,"previousVersion":0`}, {"ticket:updated", content + `,"version":10,"previousVersion":1`}},
		"one that waits":                 {{"ticket:updated", content + `,"version":2`}, {"ticket:updated", content + `,"version":1`}},
		"held by nobody's order":         {{"ticket:updated", content + `,"version":1,"orderId":"` + objectid.New() + `"`}},
		"a large title, a large price":   {{"ticket:updated", `"title":"` + strings.Repeat("t", 100<<10) + `","price":1e300,"version":1`}},
		"locked twice, released once":    {{"order:created", "a"}, {"order:created", "b"}, {"order:cancelled", "a"}},
		"released before it is locked":   {{"order:cancelled", "a"}, {"order:created", "a"}},
		"deleted and locked":             {{"ticket:deleted", `"version":1`}, {"order:created", "a"}},
	}
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e, "COMPARE_EVERY=5s", "HOLD_FOR=2s")
		bus := s.observe(t)
		ids := map[string]string{}
		for name, mix := range mixes {
			id := s.create(t, "ann@example.com").id()
			ids[name] = id
			s.untilPrice(t, id, 0, 20.5)
			for _, said := range mix {
				payload := fmt.Sprintf(`{"id":%q,%s}`, id, said[1])
				if strings.HasPrefix(said[0], "order") {
					order, version := said[1]+id[1:], strings.Count(said[0], "cancelled")
					payload = fmt.Sprintf(`{"id":%q,"version":%d,"ticket":{"id":%q,"price":1}}`, order, version, id)
				}
				bus.say(t, event.Subject(said[0]), payload)
			}
		}
		bus.say(t, event.OrderCreated, fmt.Sprintf(`{"id":%q,"version":0,"ticket":{"id":%q,"price":1}}`, objectid.New(), objectid.New()))
		bus.say(t, event.PaymentCreated, fmt.Sprintf(`{"id":"p","orderId":%q,"stripeId":"s"}`, objectid.New()))
		s.untilGet(t, s.ordersOps+"/ops/outbox/incidents?open=true", `"cause":"drift_unmended"`)
		s.untilGet(t, s.ticketsOps+"/ops/outbox/incidents?open=true", `"cause":"drift_unmended"`)
		for _, ops := range []string{s.ordersOps, s.ticketsOps} {
			until(t, "nothing is left of them at "+ops, func() bool {
				_, repaired := lockstep(t, "replica", "repair", "--trust-owner", "--ops-url", ops)
				return repaired == 0
			})
		}
		exits(t, 0, []string{"0 differ"}, "replica", "verify", "--ops-url", s.ordersOps)
		exits(t, 0, []string{"0 locks and 0 releases applied, 0 orders corrected"}, "locks", "reconcile", "--ops-url", s.ticketsOps)
		for name, id := range ids {
			s.untilHeld(t, id, "")
			version := s.ticket(t, id).version()
			s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{"concert", 40}, http.StatusOK)
			s.untilPrice(t, id, version+1, 40)
			order := s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": id}, http.StatusCreated).id()
			s.untilHeld(t, id, order)
			s.do(t, "bob@example.com", http.MethodDelete, s.ordersURL+"/api/orders/"+order, nil, http.StatusNoContent)
			s.untilHeld(t, id, "")
			s.untilReplica(t, id, version+3)
			if t.Failed() {
				t.Fatalf("ticket %s: %s", id, name)
			}
		}
	})
}
