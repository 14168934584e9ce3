package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// backUp does what docs/backup.md says for SQLite: it copies the files of a
// stopped service. restore puts them back.
func (p *process) backUp(t *testing.T) (restore func()) {
	t.Helper()
	var data string
	for _, kv := range p.Env {
		if dir, ok := strings.CutPrefix(kv, "DATA_DIR="); ok {
			data = dir
		}
	}
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.CopyFS(kept, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(data, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestARestoredOrdersStoreCatchesUp: orders.db comes from a backup, and its
// group went on. Case 10.5.
func TestARestoredOrdersStoreCatchesUp(t *testing.T) {
	t.Parallel()
	s := newSystem(t, sqlite{})
	bus := s.observe(t)
	id := s.create(t, "ann@example.com").id()
	s.untilReplica(t, id, 0)
	paid := s.create(t, "ann@example.com").id()
	s.untilReplica(t, paid, 0)
	order := s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": paid}, http.StatusCreated).id()
	s.untilReplica(t, paid, 1)
	s.orders.stop(t)
	restore := s.orders.backUp(t)
	s.orders.start(t)

	s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{"new", 99}, http.StatusOK)
	late := s.create(t, "ann@example.com").id()
	s.untilReplica(t, id, 1)
	s.untilReplica(t, late, 0)
	bus.say(t, event.PaymentCreated, fmt.Sprintf(`{"id":%q,"orderId":%q,"stripeId":"s"}`, objectid.New(), order))
	complete := func() bool {
		r := s.do(t, "bob@example.com", http.MethodGet, s.ordersURL+"/api/orders/"+order, nil, http.StatusOK)
		return r.body["status"] == "complete"
	}
	until(t, "the order is complete", complete)
	s.orders.stop(t)
	restore()
	s.orders.start(t)

	within(t, 90*time.Second, "what came after the backup is there again", func() bool {
		return s.replica(t, id).version() == 1 && s.replica(t, late).status == http.StatusOK && complete()
	})
	until(t, "it is told", func() bool { return strings.Contains(s.orders.Output(), "restored from a backup") })
	out, code := lockstep(t, "replica", "verify", "--ops-url", s.ordersOps)
	if code != 0 {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
}

// TestARestoredTicketsStoreCatchesUp: tickets.db comes from a backup. Locks that
// came later are there again, so nobody edits what is sold; versions that the
// replica has and the owner lost are found, and go back when the owner is
// trusted. Cases 10.1 and 10.5.
func TestARestoredTicketsStoreCatchesUp(t *testing.T) {
	t.Parallel()
	s := newSystem(t, sqlite{})
	edited, sold := s.create(t, "ann@example.com").id(), s.create(t, "ann@example.com").id()
	s.untilReplica(t, edited, 0)
	s.untilReplica(t, sold, 0)
	s.tickets.stop(t)
	restore := s.tickets.backUp(t)
	s.tickets.start(t)

	s.edit(t, edited, 2)
	s.untilReplica(t, edited, 2)
	ghost := s.create(t, "ann@example.com").id()
	s.untilReplica(t, ghost, 0)
	order := s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": sold}, http.StatusCreated).id()
	s.untilReplica(t, sold, 1)
	s.tickets.stop(t)
	restore()
	s.tickets.start(t)

	within(t, 90*time.Second, "the lock of the living order is there again", func() bool {
		return s.ticket(t, sold).body["orderId"] == order
	})
	s.do(t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+sold, draft{"new", 99}, http.StatusBadRequest)
	out, code := lockstep(t, "replica", "verify", "--ops-url", s.ordersOps)
	if code != 4 || !strings.Contains(out, edited+"  ahead") || !strings.Contains(out, ghost+"  extra") {
		t.Errorf("verify: exit %d, want what the owner lost\n%s", code, out)
	}
	if out, code = lockstep(t, "replica", "repair", "--trust-owner", "--ops-url", s.ordersOps); code != 0 {
		t.Errorf("repair: exit %d\n%s", code, out)
	}
	if out, code = lockstep(t, "replica", "verify", "--ops-url", s.ordersOps); code != 0 {
		t.Errorf("verify after the repair: exit %d\n%s", code, out)
	}
	s.edit(t, edited, 1)
	s.untilReplica(t, edited, 1)
}
