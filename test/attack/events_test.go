package attack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/test/spawn"
)

func events() []attack {
	return []attack{
		{52, "forged and garbage events", "", forgedEvents},
	}
}

// forgedEvents says on the bus what nobody ought to: it is acknowledged, kept
// with why, and changes nothing.
func forgedEvents(t *testing.T, p *pair) {
	conn, err := stan.Connect(clusterID, "attacker", stan.NatsURL("nats://"+p.nats), stan.ConnectWait(20*time.Second), stan.PubAckWait(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say := func(subject, payload string) {
		t.Helper()
		if err := conn.Publish(subject, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	victim := p.create(t, session("ann"))
	p.untilReplica(t, victim, 0)
	before, _ := p.row(t, victim)

	garbage := []string{
		"", "\x00\xff", "not json", "[]", "null", `"text"`, "{}", `{"id":7,"version":0}`, `{"id":{"$gt":""},"version":0,"title":"t","price":1,"userId":"u"}`,
		`{"unknown":"type"}`, strings.Repeat("[", 50_000), strings.Repeat("x", 900_000),
	}
	for _, version := range []string{"-1", "9223372036854775807", "9223372036854775808", "1e30", `"0"`, "1.5", "null"} {
		garbage = append(garbage, fmt.Sprintf(`{"id":%q,"version":%s,"title":"t","price":1,"userId":"u"}`, nobody(), version))
	}
	for _, price := range []string{"-5", "0", "1e400", `"x"`, "null"} {
		garbage = append(garbage, fmt.Sprintf(`{"id":%q,"version":0,"title":"t","price":%s,"userId":"u"}`, nobody(), price))
	}
	for _, subject := range []string{"ticket:created", "ticket:updated", "ticket:deleted", "order:created", "order:cancelled", "payment:created", "expiration:complete"} {
		for _, payload := range garbage {
			say(subject, payload)
		}
	}
	say("unknown:subject", draft)
	say("ticket:updated", fmt.Sprintf(`{"id":%q,"version":0,"title":"another","price":0.01,"userId":"eve"}`, victim)) // a version it has
	say("ticket:created", fmt.Sprintf(`{"id":%q,"version":0,"title":"another","price":0.01,"userId":"eve"}`, victim))

	spawn.Until(t, "the same version with another content is counted", func() bool {
		m := p.metric(t, "lockstep_replica_content_conflicts_total", "")
		return m != "" && !strings.HasSuffix(m, " 0")
	})
	spawn.Until(t, "what is garbage is kept", func() bool {
		m := p.metric(t, "lockstep_listener_quarantined", `service="orders"`)
		return m != "" && !strings.HasSuffix(m, " 0")
	})
	if now, _ := p.row(t, victim); now != before {
		t.Errorf("the replica has %+v, before it was %+v", now, before)
	}
	next := p.create(t, session("ann"))
	p.untilReplica(t, next, 0) // the listeners live, and nothing waits
}
