package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/test/brokertest"
)

// TestChannelThatRunsOver: while the orders service is down the broker drops
// what does not fit its channel. All events of two tickets are gone for good,
// and nothing that comes after tells of them.
func TestChannelThatRunsOver(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		const kept = 20
		b := brokertest.Start(t, brokertest.Stored(t.TempDir()), brokertest.MaxMessages(kept))
		s := newSystem(t, e, "NATS_URL="+b.URL(), "NATS_CLUSTER_ID="+brokertest.ClusterID, "NATS_MONITOR_URL="+b.MonitorURL())
		var ids []string
		for range 3 {
			id := s.create(t, "ann@example.com").id()
			s.untilReplica(t, id, 0)
			ids = append(ids, id)
		}
		s.edit(t, ids[0], 1)
		s.untilReplica(t, ids[0], 1)
		until(t, "the mark is stored", func() bool {
			r := s.do(t, "", http.MethodGet, s.ordersOps+"/ops/replica/status", nil, http.StatusOK)
			return strings.Contains(r.raw, `"channel":"ticket:updated"`) && strings.Contains(r.raw, `"mark":1`)
		})

		s.orders.stop(t)
		for _, id := range ids {
			s.edit(t, id, kept)
		}
		until(t, "everything is published", func() bool {
			r := s.do(t, "", http.MethodGet, s.ticketsOps+"/ops/outbox", nil, http.StatusOK)
			return strings.Contains(r.raw, `"events":[]`)
		})
		s.orders.start(t)

		s.untilReplica(t, ids[0], kept+1)
		s.untilReplica(t, ids[1], kept)
		s.untilReplica(t, ids[2], kept)
		const lost = `"channel":"ticket:updated","from":2,"to":41,"missing":40,"cause":"truncated"`
		if !strings.Contains(s.orders.Output(), lost) {
			t.Errorf("the log does not name what was lost: %s", lost)
		}
		metrics := s.do(t, "", http.MethodGet, s.ordersOps+"/metrics", nil, http.StatusOK).raw
		if !strings.Contains(metrics, `lockstep_listener_lost_messages_total{service="orders",subject="ticket:updated"} 40`) {
			t.Error("no metric tells that 40 messages were lost")
		}
		out, code := lockstep(t, "replica", "verify", "--ops-url", s.ordersOps)
		if code != 0 || !strings.Contains(out, "3 records compared, 0 differ") {
			t.Errorf("verify: exit %d\n%s", code, out)
		}
	})
}

// TestChannelThatRunsOverAStoppedListener: the listener is connected and does
// not get on for a while, and the channel has room for 500 messages. Case 10.6.
func TestChannelThatRunsOverAStoppedListener(t *testing.T) {
	t.Parallel()
	const tickets = 1500
	b := brokertest.Start(t, brokertest.Stored(t.TempDir()), brokertest.MaxMessages(500))
	s := newSystem(t, sqlite{}, "NATS_URL="+b.URL(), "NATS_CLUSTER_ID="+brokertest.ClusterID, "MAX_IN_FLIGHT=100")
	s.untilReplica(t, s.create(t, "ann@example.com").id(), 0)
	s.orders.Freeze(t)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range tickets / 10 {
				s.create(t, "ann@example.com")
			}
		})
	}
	wg.Wait()
	until(t, "everything is published", func() bool {
		r := s.do(t, "", http.MethodGet, s.ticketsOps+"/ops/outbox", nil, http.StatusOK)
		return strings.Contains(r.raw, `"events":[]`)
	})
	s.orders.Thaw(t)
	until(t, "the replica is whole", func() bool {
		r := s.do(t, "", http.MethodGet, s.ordersOps+"/ops/replica/status", nil, http.StatusOK)
		return strings.Contains(r.raw, fmt.Sprintf(`"rows":%d`, tickets+1))
	})
	if !strings.Contains(s.orders.Output(), `"cause":"truncated"`) {
		t.Error("the log does not say that messages were lost")
	}
	out, code := lockstep(t, "replica", "verify", "--ops-url", s.ordersOps)
	if code != 0 || !strings.Contains(out, fmt.Sprintf("%d records compared, 0 differ", tickets+1)) {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
}

// edit edits a ticket n times.
func (s *system) edit(t *testing.T, id string, n int) {
	t.Helper()
	for i := range n {
		s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{fmt.Sprint("edit ", i), 20}, http.StatusOK)
	}
}

// TestOrdersAndPaymentsThatRunOver: the tickets service does not get on while
// orders are made, and the orders service while they are paid. What can be asked
// for is mended; of payments, which nobody can be asked for, a person is told.
// Case 10.6.
func TestOrdersAndPaymentsThatRunOver(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		const kept, n = 20, 50
		b := brokertest.Start(t, brokertest.Stored(t.TempDir()), brokertest.MaxMessages(kept))
		s := newSystem(t, e, "NATS_URL="+b.URL(), "NATS_CLUSTER_ID="+brokertest.ClusterID, "MAX_IN_FLIGHT=10")
		tickets, orders := make([]string, n), make([]string, n)
		for i := range n {
			tickets[i] = s.create(t, "ann@example.com").id()
			s.untilReplica(t, tickets[i], 0)
		}
		s.tickets.Freeze(t)
		for i, id := range tickets {
			orders[i] = s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": id}, http.StatusCreated).id()
		}
		until(t, "everything is published", func() bool {
			r := s.do(t, "", http.MethodGet, s.ordersOps+"/ops/outbox", nil, http.StatusOK)
			return strings.Contains(r.raw, `"events":[]`)
		})
		s.tickets.Thaw(t)
		for i, id := range tickets {
			s.untilHeld(t, id, orders[i])
		}
		if m := s.tickets.metrics(t.Context()); m[`lockstep_listener_losses_total{cause="truncated",service="tickets",subject="order:created"}`] == 0 {
			t.Error("no metric tells that orders were lost")
		}

		conn, err := stan.Connect(brokertest.ClusterID, "payments", stan.NatsURL(b.URL()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s.orders.Freeze(t)
		var paid []said
		for _, id := range orders {
			paid = append(paid, said{event.PaymentCreated, fmt.Sprintf(`{"id":"p","orderId":%q,"stripeId":"s"}`, id)})
		}
		(&observer{conn: conn}).sayAll(t, paid)
		s.orders.Thaw(t)
		for _, id := range orders[n-kept:] {
			s.untilStatus(t, id, "complete")
		}
		until(t, "a person is told", func() bool {
			all := s.do(t, "", http.MethodGet, s.ordersOps+"/ops/outbox/incidents", nil, http.StatusOK).raw
			return strings.Contains(all, "of payment:created (truncated)")
		})
	})
}
