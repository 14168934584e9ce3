package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestABrokerAloneIsScrapedAndProbed: it answers as the services do. Case 11.10.
func TestABrokerAloneIsScrapedAndProbed(t *testing.T) {
	t.Parallel()
	s := newSystem(t, sqlite{})
	s.untilReplica(t, s.create(t, "ann@example.com").id(), 0)
	want := map[string]float64{
		`lockstep_ready`:                    1,
		`lockstep_check_ok{check="broker"}`: 1,
		`lockstep_broker_channel_messages{channel="ticket:created"}`:                                     1,
		`lockstep_broker_channel_messages{channel="order:cancelled"}`:                                    0,
		`lockstep_broker_channel_last_sequence{channel="ticket:created"}`:                                1,
		`lockstep_broker_group_unsent_messages{channel="ticket:created",group="orders-service"}`:         0,
		`lockstep_broker_group_unacknowledged_messages{channel="ticket:created",group="orders-service"}`: 0,
		`lockstep_broker_group_members{channel="ticket:created",group="orders-service"}`:                 1,
		`lockstep_broker_group_members{channel="order:created",group="tickets-service"}`:                 1,
		`lockstep_broker_clients`: 2,
	}
	until(t, "the broker shows what it has", func() bool {
		got := s.broker.metrics(t.Context())
		for series, value := range want {
			if have, ok := got[series]; !ok || have != value {
				return false
			}
		}
		return got["lockstep_broker_disk_free_bytes"] > 0 && got["lockstep_broker_store_bytes"] > 0
	})
	s.orders.stop(t)
	s.create(t, "ann@example.com")
	until(t, "what the group has not got is shown", func() bool {
		got := s.broker.metrics(t.Context())
		return got[`lockstep_broker_group_unsent_messages{channel="ticket:created",group="orders-service"}`] == 1 &&
			got[`lockstep_broker_group_members{channel="ticket:created",group="orders-service"}`] == 0
	})
	at := strings.TrimSuffix(s.broker.Ready, "/readyz")
	s.do(t, "", http.MethodGet, at+"/healthz", nil, http.StatusOK)
	s.do(t, "", http.MethodGet, at+"/ops/outbox", nil, http.StatusNotFound)
	if out, code := lockstep(t, "health", "--ready", "--ops-url", at); code != 0 {
		t.Errorf("health: exit %d, %s", code, out)
	}
}
