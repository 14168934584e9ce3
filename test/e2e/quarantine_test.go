package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// Case 11.5, 10.13: many messages are retried and discarded by what they have
// in common, with one command.
func TestManyMessagesLeaveQuarantineTogether(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		const apart = "VERSION_STEP=100" // and the publisher counts by 50
		s := newSystem(t, e, apart)
		bus := s.observe(t)
		const good, bad = 3, 600
		ids := make([]string, good)
		for i := range ids {
			ids[i] = objectid.New()
			bus.say(t, event.TicketCreated, fmt.Sprintf(`{"id":%q,"version":0,"title":"a","price":1,"userId":"u"}`, ids[i]))
			bus.say(t, event.TicketUpdated, fmt.Sprintf(`{"id":%q,"version":50,"title":"b","price":2,"userId":"u"}`, ids[i]))
		}
		for i := range bad {
			bus.say(t, event.TicketUpdated, fmt.Sprintf(`{"is":%d}`, i))
		}
		until(t, "they are in quarantine", func() bool {
			return strings.Contains(s.do(t, "", http.MethodGet, s.ordersOps+"/ops/replica/status", nil, http.StatusOK).raw, fmt.Sprintf(`"quarantined":%d`, good+bad))
		})
		s.orders.stop(t)
		s.orders.Env = append(slices.DeleteFunc(s.orders.Env, func(kv string) bool { return kv == apart }), "VERSION_STEP=50")
		s.orders.start(t)

		quarantine := func(code int, says string, args ...string) {
			t.Helper()
			out, got := lockstep(t, append(append([]string{"replica", "quarantine"}, args...), "--ops-url", s.ordersOps)...)
			if got != code || !strings.Contains(out, says) {
				t.Errorf("quarantine %s: exit %d, %s\nwant %d, %s", args, got, out, code, says)
			}
		}
		quarantine(0, "3 messages are applied, 600 are left\none of those: retry message", "retry", "--reason", "undecodable")
		for _, id := range ids {
			s.untilReplica(t, id, 50)
		}
		quarantine(2, "choose by --reason, --subject, --key or --older-than, or all of them by --all", "discard")
		quarantine(2, `--key must be one line of at most 1000 bytes, not ""`, "discard", "--reason", "undecodable", "--key", "")
		quarantine(0, "nothing was set aside", "list", "--subject", "ticket:created")
		quarantine(0, "0 messages are gone", "discard", "--subject", "ticket:created")
		quarantine(0, "0 messages are gone", "discard", "--older-than", "1h")
		quarantine(0, "600 messages are gone", "discard", "--reason", "undecodable", "--subject", "ticket:updated")
		quarantine(0, "nothing was set aside", "list")
	})
}
