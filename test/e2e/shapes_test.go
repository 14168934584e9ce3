package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"lockstep/event"
)

// shapes are ids that a forger may give: what paths, queries, proxies and stores
// have a meaning of their own for.
func shapes() []string {
	return []string{
		"ranges", ".", "..", "../..", "a/b", "%2e%2e", "a?after=b", "a#b", "a%00b", "$where", "ünï", "--help", "-1", "null", "';--",
		`{"$gt":""}`, "a:1:b", "reset", "reconcile", "held", strings.Repeat("x", 128), "a+b&c=d", "*",
	}
}

// Case 11.6: whatever the id of a forged event, it is found by itself, shown and
// taken back by the operator, and stops nothing.
func TestForgedIDsOfAnyShapeHaveAWayBack(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e, "COMPARE_EVERY=5s")
		bus := s.observe(t)
		target := s.create(t, "ann@example.com").id()
		s.untilPrice(t, target, 0, 20.5)
		ids := shapes()
		for _, id := range ids {
			bus.say(t, event.TicketCreated, fmt.Sprintf(`{"id":%q,"version":0,"title":"ghost","price":0.01,"userId":"u"}`, id))
			bus.say(t, event.OrderCreated, fmt.Sprintf(`{"id":%q,"version":0,"ticket":{"id":%q,"price":1}}`, id, target))
		}
		s.untilGet(t, s.ordersOps+"/metrics", fmt.Sprintf(`lockstep_replica_drift_rows{kind="extra",service="orders"} %d`, len(ids)))
		s.untilGet(t, s.ticketsOps+"/metrics", fmt.Sprintf(`lockstep_lock_drift{kind="no_order",service="tickets"} %d`, len(ids)))
		exits(t, 4, []string{fmt.Sprintf("%d differ", len(ids))}, "replica", "verify", "--ops-url", s.ordersOps)
		for _, id := range ids {
			exits(t, 0, []string{"is nothing"}, "replica", "reset", "--ops-url", s.ordersOps, "--", id)
			exits(t, 0, []string{`"ticketId": "` + target}, "locks", "show", "--ops-url", s.ticketsOps, "--", id)
			exits(t, 0, []string{"is released"}, "locks", "reset", "--ops-url", s.ticketsOps, "--", id)
		}
		exits(t, 0, []string{"0 differ"}, "replica", "verify", "--ops-url", s.ordersOps)
		s.untilHeld(t, target, "")
		s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+target, draft{"concert", 40}, http.StatusOK)
	})
}
