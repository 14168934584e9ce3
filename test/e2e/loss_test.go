package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/test/spawn"
)

// lockstep runs a command of the binary and returns what it prints and its
// exit code.
func lockstep(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(spawn.Lockstep(t), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestBrokerThatForgets: the broker loses its volume while both services are
// down and events are on their way. What the replica and the locks miss is
// noticed, and mended from their owners.
func TestBrokerThatForgets(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		id := s.create(t, "ann@example.com").id()
		held := s.create(t, "ann@example.com").id()
		s.untilReplica(t, id, 0)
		s.untilReplica(t, held, 0)
		order := s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": held}, http.StatusCreated).id()
		s.untilReplica(t, held, 1)
		s.observe(t).say(t, event.PaymentCreated, fmt.Sprintf(`{"id":%q,"orderId":%q,"stripeId":"s"}`, objectid.New(), order))
		until(t, "the mark of payments is stored", func() bool {
			r := s.do(t, "", http.MethodGet, s.ordersOps+"/ops/replica/status", nil, http.StatusOK)
			return strings.Contains(r.raw, `"channel":"payment:created","group":"orders-service","mark":1`)
		})
		until(t, "marks are stored", func() bool {
			r := s.do(t, "", http.MethodGet, s.ordersOps+"/ops/replica/status", nil, http.StatusOK)
			return strings.Contains(r.raw, `"mark":2`)
		})

		s.orders.stop(t) // and misses what comes now
		s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{"new", 2}, http.StatusOK)
		late := s.create(t, "ann@example.com").id()
		until(t, "everything is published", func() bool {
			r := s.do(t, "", http.MethodGet, s.ticketsOps+"/ops/outbox", nil, http.StatusOK)
			return !strings.Contains(r.raw, late)
		})
		s.tickets.stop(t)
		s.broker.kill(t)
		s.forget(t)
		s.broker.start(t)
		s.orders.start(t)
		s.tickets.start(t)

		s.untilReplica(t, id, 1)
		s.untilReplica(t, late, 0)
		if !strings.Contains(s.orders.Output(), "the broker lost messages") {
			t.Error("the orders service does not say that messages were lost")
		}
		m := s.do(t, "", http.MethodGet, s.ordersOps+"/metrics", nil, http.StatusOK).raw
		if !strings.Contains(m, `lockstep_listener_losses_total{cause="renumbered",service="orders",subject="payment:created"} 1`) {
			t.Error("nobody counts that payments may be lost") // case 9.10
		}
		if out, _ := lockstep(t, "replica", "status", "--ops-url", s.ordersOps); !strings.Contains(out, "LOST") {
			t.Errorf("status does not show losses:\n%s", out)
		}
		out, code := lockstep(t, "replica", "verify", "--ops-url", s.ordersOps)
		if code != 0 || !strings.Contains(out, "3 records compared, 0 differ") {
			t.Errorf("verify: exit %d\n%s", code, out)
		}
	})
}

// forget deletes what the broker has stored.
func (s *system) forget(t *testing.T) {
	t.Helper()
	for _, kv := range s.broker.Env {
		if dir, ok := strings.CutPrefix(kv, "DATA_DIR="); ok {
			if err := os.RemoveAll(filepath.Join(dir, "broker")); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the broker has no data directory")
}

// TestVerifyAndRepair: an operator finds and mends what differs.
func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		bus := s.observe(t)
		id := s.create(t, "ann@example.com").id()
		s.untilReplica(t, id, 0)
		stranger := objectid.New() // a ticket that the canonical service never had
		bus.say(t, event.TicketCreated, fmt.Sprintf(`{"id":%q,"title":"t","price":1,"userId":"u","version":0}`, stranger))
		s.untilReplica(t, stranger, 0)

		out, code := lockstep(t, "replica", "verify", "--ops-url", s.ordersOps)
		if code != 4 || !strings.Contains(out, stranger) || !strings.Contains(out, "extra") || strings.Contains(out, id) {
			t.Errorf("verify: exit %d, want 4 and the stranger named\n%s", code, out)
		}
		out, code = lockstep(t, "replica", "repair", "--ops-url", s.ordersOps)
		if code != 4 || !strings.Contains(out, "unknown to it") {
			t.Errorf("repair: exit %d, want 4 for what it leaves\n%s", code, out)
		}
		out, code = lockstep(t, "replica", "verify", "--json", "--ops-url", s.ordersOps)
		var last struct{ Verified *struct{ Compared int } }
		lines := strings.Split(strings.TrimSpace(out), "\n")
		for _, l := range lines {
			if strings.HasPrefix(l, "{") && json.Unmarshal([]byte(l), &last) == nil && last.Verified != nil {
				break
			}
		}
		if code != 4 || last.Verified == nil || last.Verified.Compared != 1 {
			t.Errorf("verify --json: exit %d\n%s", code, out)
		}
		out, code = lockstep(t, "replica", "status", "--ops-url", s.ordersOps)
		if code != 0 || !strings.Contains(out, "ticket:created") {
			t.Errorf("status: exit %d\n%s", code, out)
		}
	})
}

// TestForgedContentIsFoundAndMended: somebody publishes versions that the owner
// did not. Verify sees them by their content, and an operator who trusts the
// owner has a way back for all of them. Cases 10.1, 10.20 and 11.6.
func TestForgedContentIsFoundAndMended(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		bus := s.observe(t)
		forge := func(subject event.Subject, id string, version int64) {
			t.Helper()
			bus.say(t, subject, fmt.Sprintf(`{"id":%q,"title":"t","price":0.01,"userId":"u","version":%d}`, id, version))
			s.untilReplica(t, id, version)
		}
		sold, ahead, single, ghost := s.create(t, "ann@example.com").id(), s.create(t, "ann@example.com").id(), s.create(t, "ann@example.com").id(), objectid.New()
		for _, id := range []string{sold, ahead, single} {
			s.untilReplica(t, id, 0)
			forge(event.TicketUpdated, id, 1)
		}
		forge(event.TicketCreated, ghost, 0)
		s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+sold, draft{"new", 102}, http.StatusOK)
		until(t, "the owner's own version 1 is counted as a conflict", func() bool {
			m := s.do(t, "", http.MethodGet, s.ordersOps+"/metrics", nil, http.StatusOK).raw
			return strings.Contains(m, `lockstep_replica_content_conflicts_total{service="orders"} 1`)
		})
		step := func(want int, says string, args ...string) {
			t.Helper()
			out, code := lockstep(t, append(append([]string{"replica"}, args...), "--ops-url", s.ordersOps)...)
			if code != want || !strings.Contains(out, says) {
				t.Errorf("replica %s: exit %d, want %d and %q\n%s", strings.Join(args, " "), code, want, says, out)
			}
		}
		step(4, sold+"  differs: replica version 1 \"t\" at 0.01, owner version 1 \"new\" at 102", "verify")
		step(4, "1 repaired", "repair")
		step(0, single+" was version 1 \"t\" at 0.01, is version 0", "reset", single)
		step(4, "2 differ", "verify")
		step(0, "1 repaired, 1 removed", "repair", "--trust-owner")
		step(0, "3 records compared, 0 differ", "verify")
		step(1, "Neither the replica nor its owner has such a ticket", "reset", ghost)
		if out, code := lockstep(t, "replica", "repair", "--ops-url", s.ticketsOps); code != 0 || !strings.Contains(out, "0 orders compared") {
			t.Errorf("repair of the locks: exit %d\n%s", code, out)
		}
	})
}

// TestDriftIsFoundByItself: nothing is lost and nobody asks, and a row that was
// forged and one that a foreign hand changed are found. Case 11.6.
func TestDriftIsFoundByItself(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e, "COMPARE_EVERY=5s")
		bus := s.observe(t)
		id, ghost := s.create(t, "ann@example.com").id(), objectid.New()
		s.untilReplica(t, id, 0)
		bus.say(t, event.TicketUpdated, fmt.Sprintf(`{"id":%q,"title":"t","price":0.01,"userId":"u","version":1}`, id))
		bus.say(t, event.TicketCreated, fmt.Sprintf(`{"id":%q,"title":"t","price":1,"userId":"u","version":0}`, ghost))
		s.untilReplica(t, id, 1)
		s.untilReplica(t, ghost, 0)
		s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{"new", 102}, http.StatusOK)
		until(t, "the forged price is gone", func() bool { return s.replica(t, id).body["price"] == 102.0 })
		until(t, "the ghost is counted", func() bool {
			m := s.do(t, "", http.MethodGet, s.ordersOps+"/metrics", nil, http.StatusOK).raw
			return strings.Contains(m, `lockstep_replica_drift_rows{kind="extra",service="orders"} 1`)
		})
	})
}

// TestAFailedRepairIsAFailure: whatever else succeeds. Case 10.20.
func TestAFailedRepairIsAFailure(t *testing.T) {
	t.Parallel()
	s := newSystem(t, sqlite{})
	s.create(t, "ann@example.com")
	s.tickets.stop(t) // the replica cannot be compared any more
	out, code := lockstep(t, "replica", "repair", "--ops-url", s.ordersOps)
	if code != 1 {
		t.Errorf("repair without an owner: exit %d, want 1\n%s", code, out)
	}
	out, code = lockstep(t, "replica", "repair", "--ops-url", s.ordersURL)
	if code != 2 || !strings.Contains(out, "is not an ops port") {
		t.Errorf("repair at the address of an API: exit %d, want 2 and why\n%s", code, out)
	}
}

// TestGapIsRepaired: an event whose predecessor never comes does not keep its
// record behind: the owner is asked.
func TestGapIsRepaired(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e, "HOLD_FOR=1s")
		bus := s.observe(t)
		id := s.create(t, "ann@example.com").id()
		s.untilReplica(t, id, 0)
		for v := range 3 {
			s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{fmt.Sprint(v), 1}, http.StatusOK)
		}
		s.untilReplica(t, id, 3)
		lost := objectid.New()
		bus.say(t, event.TicketUpdated, fmt.Sprintf(`{"id":%q,"title":"t","price":1,"userId":"u","version":7}`, lost))
		until(t, "what cannot be repaired is set aside", func() bool {
			r := s.do(t, "", http.MethodGet, s.ordersOps+"/ops/replica/quarantine", nil, http.StatusOK)
			return strings.Contains(r.raw, lost) && strings.Contains(r.raw, "too_early")
		})
		for v := range int64(7) { // and applied by itself when the others come after all
			subject, payload := foreign(lost, v)
			bus.say(t, subject, payload)
		}
		s.untilReplica(t, lost, 7)
	})
}
