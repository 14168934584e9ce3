package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// TestTheWholeWalk is the life of one ticket through both services.
func TestTheWholeWalk(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		bus := s.observe(t)

		id := s.create(t, "ann@example.com").id()
		s.untilReplica(t, id, 0)
		url := s.ticketsURL + "/api/tickets/" + id
		s.do(t, "ann@example.com", http.MethodPut, url, draft{"c2", 30}, http.StatusOK)
		s.untilReplica(t, id, 1)

		order := s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": id}, http.StatusCreated)
		s.untilReplica(t, id, 2)
		if held := s.ticket(t, id).body["orderId"]; held != order.id() {
			t.Errorf("ticket is held by %v, want order %s", held, order.id())
		}
		refused := s.do(t, "ann@example.com", http.MethodPut, url, draft{"c3", 40}, http.StatusBadRequest)
		if !strings.Contains(refused.raw, "Cannot edit a reserved ticket") {
			t.Errorf("edit of a held ticket: %s", refused.raw)
		}
		s.do(t, "carl@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": id}, http.StatusBadRequest)

		s.do(t, "bob@example.com", http.MethodDelete, s.ordersURL+"/api/orders/"+order.id(), nil, http.StatusNoContent)
		s.untilReplica(t, id, 3)
		s.do(t, "ann@example.com", http.MethodPut, url, draft{"c4", 50}, http.StatusOK)
		s.untilReplica(t, id, 4)
		s.do(t, "ann@example.com", http.MethodDelete, url, nil, http.StatusNoContent)
		until(t, "the replica has the tombstone", func() bool {
			return s.replica(t, id).body["deleted"] == true || s.replica(t, id).status == http.StatusNotFound
		})
		s.do(t, "", http.MethodGet, url, nil, http.StatusNotFound)
		s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": id}, http.StatusNotFound)

		bus.wantInOrder(t, id, 5)
		until(t, "both outboxes are empty", func() bool { return s.pending(t) == 0 })
		if d := s.tickets.stop(t); d > 10*time.Second {
			t.Errorf("stop took %v", d)
		}
		s.orders.stop(t)
		s.broker.stop(t)
	})
}

// wantInOrder checks that versions 0 to last of a ticket were heard, each
// channel in ascending order.
func (o *observer) wantInOrder(t *testing.T, id string, last int64) {
	t.Helper()
	until(t, "every version is on the bus", func() bool { return int64(len(o.of(id))) > last })
	highest := map[event.Subject]int64{event.TicketUpdated: 0, event.TicketDeleted: 0, event.TicketCreated: -1}
	seen := map[int64]int{}
	for _, m := range o.of(id) {
		seen[m.version]++
		if m.version <= highest[m.subject] {
			t.Errorf("%s: version %d came after %d", m.subject, m.version, highest[m.subject])
		}
		highest[m.subject] = m.version
	}
	for v := range last + 1 {
		if seen[v] != 1 {
			t.Errorf("version %d was published %d times, want once", v, seen[v])
		}
	}
	if int64(len(seen)) != last+1 {
		t.Errorf("%d versions on the bus, want 0 to %d", len(seen), last)
	}
}

// pending returns how many events wait in both outboxes.
func (s *system) pending(t *testing.T) int {
	t.Helper()
	sum := 0
	for _, url := range []string{s.ticketsOps + "/ops/outbox?service=tickets", s.ordersOps + "/ops/outbox?service=orders"} {
		r := s.do(t, "", http.MethodGet, url, nil, http.StatusOK)
		var body struct {
			Events []json.RawMessage `json:"events"`
		}
		if err := json.Unmarshal([]byte(r.raw), &body); err != nil {
			t.Fatalf("%s: %v in %s", url, err, r.raw)
		}
		sum += len(body.Events)
	}
	return sum
}

// TestForeignPublisher shuffles and repeats what another tickets service says,
// with garbage in between.
func TestForeignPublisher(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		bus := s.observe(t)
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 0))

		const tickets, versions = 20, 20
		ids := make([]string, tickets)
		var all []said
		for i := range ids {
			ids[i] = objectid.New()
			for v := range int64(versions) {
				subject, payload := foreign(ids[i], v)
				for range 1 + rng.IntN(2) {
					all = append(all, said{subject, payload})
				}
			}
		}
		for _, garbage := range []string{`{`, `null`, `[]`, ``, `{"id":1}`, `{"id":"x","version":-1,"title":"t","price":1}`, strings.Repeat("x", 10_000)} {
			all = append(all, said{event.TicketUpdated, garbage}, said{event.TicketCreated, garbage})
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, m := range all {
			bus.say(t, m.subject, m.payload)
		}
		for _, id := range ids {
			s.untilReplica(t, id, versions-1)
			if got, want := s.replica(t, id).body["title"], "at 19"; got != want {
				t.Errorf("title = %v, want %q", got, want)
			}
		}
		quarantined := s.do(t, "", http.MethodGet, s.ordersOps+"/ops/replica/quarantine", nil, http.StatusOK)
		if !strings.Contains(quarantined.raw, "undecodable") {
			t.Errorf("the garbage is not in quarantine: %s", quarantined.raw)
		}
	})
}

// TestForeignOrders plays the orders of another orders service against the
// locks of ours.
func TestForeignOrders(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		bus := s.observe(t)
		id := s.create(t, "ann@example.com").id()
		created := func(order string) {
			bus.say(t, event.OrderCreated, orderCreated(order, id))
		}
		cancelled := func(order string) {
			bus.say(t, event.OrderCancelled, orderCancelled(order, id))
		}
		state := func(order, want string) {
			t.Helper()
			until(t, "order "+order+" is "+want, func() bool {
				r, err := s.try(t, "", http.MethodGet, s.ticketsOps+"/ops/locks/"+order, nil)
				return err == nil && r.status == http.StatusOK && r.body["state"] == want
			})
		}
		holder := func(order any, version int64) {
			t.Helper()
			if got := s.ticket(t, id); got.body["orderId"] != order || got.version() != version {
				t.Errorf("ticket = %s, want holder %v at version %d", got.raw, order, version)
			}
		}
		a, b, c := objectid.New(), objectid.New(), objectid.New()
		cancelled(c) // before its creation
		state(c, "tombstone")
		created(c)
		created(a)
		state(a, "held")
		holder(a, 1)
		created(a) // again
		created(b)
		state(b, "waiting")
		holder(a, 1)
		cancelled(a)
		state(a, "released")
		state(b, "held")
		holder(b, 2)
		cancelled(a) // a stale release of the former holder
		cancelled(b)
		state(b, "released")
		holder(nil, 3)
		bus.wantInOrder(t, id, 3)
	})
}
