package e2e

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Case 10.4: somebody empties the replica under the service. It notices, and asks
// the owner for everything.
func TestAnEmptiedReplicaIsFilledAgain(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		var ids []string
		for range 5 {
			ids = append(ids, s.create(t, "ann@example.com").id())
		}
		for _, id := range ids {
			s.untilReplica(t, id, 0)
		}
		until(t, "the rows are counted", func() bool { return s.orders.sum(t, "lockstep_replica_rows") == 5 })
		s.orders.emptyReplica(t)
		for _, id := range ids {
			s.untilReplica(t, id, 0)
		}
		if !strings.Contains(s.orders.Output(), "rows of the replica are gone") {
			t.Error("the log does not say so")
		}
		order := map[string]string{"ticketId": ids[0]}
		s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", order, http.StatusCreated)
	})
}

// TestAnEmptiedReplicaIsNotReadyUntilItIsFilledAgain: nothing that was true before
// is said of it. Case 11.10.
func TestAnEmptiedReplicaIsNotReadyUntilItIsFilledAgain(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		id := s.create(t, "ann@example.com").id()
		s.untilReplica(t, id, 0)
		until(t, "the row is counted", func() bool { return s.orders.sum(t, "lockstep_replica_rows") == 1 })
		s.tickets.stop(t)
		s.orders.emptyReplica(t)
		until(t, "it is not ready", func() bool {
			status, body := s.readyz(t, s.orders)
			return status == http.StatusServiceUnavailable && strings.Contains(body, "was not filled from its owner yet")
		})
		s.tickets.start(t)
		s.untilReplica(t, id, 0)
		until(t, "it is ready", func() bool { return ready(t, s.orders) })
	})
}

// emptyReplica takes the rows away, past the service.
func (p *process) emptyReplica(t *testing.T) {
	t.Helper()
	if uri := p.setting("MONGO_URI"); uri != "" {
		if err := database(t, uri).Collection("replica").Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		return
	}
	db, err := sql.Open("sqlite", filepath.Join(p.setting("DATA_DIR"), "orders.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "DELETE FROM replica"); err != nil {
		t.Fatal(err)
	}
}
