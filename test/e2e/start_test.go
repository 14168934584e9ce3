package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// TestBrokerThatIsNotThereYet: services that start without their broker take
// writes, say what they wait for, and catch up by themselves. Case 11.11.
func TestBrokerThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		s.orders.stop(t)
		s.tickets.stop(t)
		s.broker.stop(t)

		s.tickets.start(t)
		id := s.create(t, "ann@example.com").id()
		s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{"new", 2}, http.StatusOK)
		s.orders.Launch(t)
		until(t, "both say what they wait for", func() bool {
			return strings.Contains(s.tickets.Output(), "broker unreachable") && strings.Contains(s.orders.Output(), "no connection to the broker")
		})
		until(t, "the orders service is alive and not ready, and says why", func() bool {
			alive, _ := read(t, s.ordersOps+"/healthz")
			status, body := read(t, s.ordersOps+"/readyz")
			return alive == http.StatusOK && status == http.StatusServiceUnavailable && strings.Contains(body, "connect to the broker at nats://")
		})

		s.broker.start(t)
		bus := s.observe(t)
		bus.wantInOrder(t, id, 1)
		s.untilReplica(t, id, 1)
		until(t, "the orders service is ready", func() bool {
			r, err := s.try(t, "", http.MethodGet, s.ordersOps+"/readyz", nil)
			return err == nil && r.status == http.StatusOK
		})
	})
}

// TestTwoProcessesOfOneClientID: the second one waits for a while, in case the
// first is about to end, then says so and works under another id; the first is
// undisturbed.
func TestTwoProcessesOfOneClientID(t *testing.T) {
	if !soak() {
		t.Skip("the second process waits 15 s for the id: set LOCKSTEP_SOAK=1")
	}
	t.Parallel()
	s := newSystem(t, mongodb{mongotest.Shared(t)})
	at := spawn.Addresses(t, 2)
	second := &process{spawn.Service{
		Name: "orders-again", Args: s.orders.Args, Ready: "http://" + at[1] + "/readyz",
		Env: append(slices.Clone(s.orders.Env), "ORDERS_ADDR="+at[0], "OPS_ADDR="+at[1]),
	}}
	second.start(t)
	if !strings.Contains(second.Output(), "two processes must not share an id") {
		t.Error("the second one does not say that its client id is taken")
	}
	for range 20 { // either of them may get the events
		s.untilReplica(t, s.create(t, "ann@example.com").id(), 0)
	}
	if said := s.orders.Output(); strings.Contains(said, "session lost") || strings.Contains(said, "link broke") {
		t.Error("the first one was disturbed")
	}
}

// TestTheFiveVariablesOfTheNodeServicesSuffice: what a manifest of the Node
// services sets starts ours, and nothing but this machine reaches the
// operator's routes. Case 9.4.
func TestTheFiveVariablesOfTheNodeServicesSuffice(t *testing.T) {
	t.Parallel()
	broker, set := brokertest.Start(t), mongotest.Shared(t)
	for _, service := range []string{"tickets", "orders"} { // one after the other: both have the same ports
		p := &process{spawn.Service{
			Name: service, Args: []string{service}, Ready: "http://127.0.0.1:9464/readyz",
			Env: []string{
				"MONGO_URI=" + set.URI(set.Database(t)), "NATS_URL=" + strings.Replace(broker.URL(), "nats:", "http:", 1),
				"NATS_CLUSTER_ID=" + brokertest.ClusterID, "NATS_CLIENT_ID=" + service + "-depl-5f7c9-x2x4z", "JWT_KEY=asdf",
			},
		}}
		p.start(t)
		if !answersOn(t, "http://127.0.0.1:3000/api/"+service) {
			t.Errorf("%s does not serve its API on port 3000", service)
		}
		if said := p.Output(); !strings.Contains(said, "serves this machine only") || !strings.Contains(said, "OPS_TOKEN") {
			t.Errorf("%s does not say who reaches its ops port, and what to set:\n%s", service, said)
		}
		p.stop(t)
	}
}

// answersOn reports whether something serves the URL, whatever it answers.
func answersOn(t *testing.T, url string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil
}
