package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/event"
	"lockstep/listeners"
	mongostore "lockstep/store/mongodb"
	sqlitestore "lockstep/store/sqlite"
	"lockstep/test/mongotest"
)

// TestALargeQuarantineCostsAnIdleProcessNothing: 500,000 messages in quarantine,
// of which half wait, took 58 % of a processor. Case 11.5.
//
//	LOCKSTEP_SOAK=1 go test ./test/e2e -run LargeQuarantineCosts -v
func TestALargeQuarantineCostsAnIdleProcessNothing(t *testing.T) {
	inSoaks(t)
	for name, e := range map[string]engine{"sqlite": sqlite{}, "mongodb": mongodb{mongotest.Shared(t)}} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t, e)
			usual := s.orders.Busy(t, func() { pause(t, time.Minute) })
			s.orders.stop(t)
			const n = 500_000
			fillQuarantine(t, s.orders, n)
			s.orders.start(t)
			until(t, "they are counted", func() bool { return s.orders.sum(t, "lockstep_listener_quarantined{") == n })
			before := serverTime(t, e)
			busy := s.orders.Busy(t, func() { pause(t, time.Minute) })
			t.Logf("CPU of an idle minute: %.2f s beside %d messages in quarantine, %.2f s beside none; the server of the database took %.2f s",
				60*busy, n, 60*usual, (serverTime(t, e) - before).Seconds())
			if busy > usual+0.05 {
				t.Errorf("the process takes %.1f %% of a processor, want what it takes without them, %.1f %%", 100*busy, 100*usual)
			}
		})
	}
}

// fillQuarantine puts n messages of the orders service into its store: one that
// waits and one that cannot be read in turns.
func fillQuarantine(t *testing.T, orders *process, n int) {
	t.Helper()
	quarantine, done := openQuarantine(t, orders.Env)
	defer done()
	const together = 1_000
	for i := 0; i < n; i += together {
		batch := make([]listeners.Quarantined, together)
		for j := range batch {
			id := massID(i + j)
			batch[j] = listeners.Quarantined{
				ID: fmt.Sprintf("%024x", (i+j)*2_654_435_761), Group: listeners.OrdersService, Subject: event.TicketUpdated, Sequence: uint64(i + j + 1),
				Reason: listeners.Undecodable, Detail: "title: must be a text", At: time.Now().UTC(),
				Payload: fmt.Appendf(nil, `{"id":%q,"version":7,"title":"t","price":1,"userId":"u"}`, id),
			}
			if j%2 == 0 {
				batch[j].Reason, batch[j].Key, batch[j].Version, batch[j].Predecessor = listeners.TooEarly, id, 7, 6
			}
		}
		if err := quarantine.Put(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

// openQuarantine opens the store of a process that does not run.
func openQuarantine(t *testing.T, env []string) (q listeners.Quarantine, done func()) {
	t.Helper()
	var closeStore func() error
	var err error
	for _, kv := range env {
		switch name, value, _ := strings.Cut(kv, "="); name {
		case "DATA_DIR":
			var db *sqlitestore.DB
			if db, err = sqlitestore.Open(t.Context(), filepath.Join(value, "orders.db"), sqlitestore.Options{}); err == nil {
				q, closeStore = db.Quarantine(), db.Close
			}
		case "MONGO_URI":
			var db *mongostore.DB
			if db, err = mongostore.Open(t.Context(), value, mongostore.Options{Service: mongostore.OrderService}); err == nil {
				q, closeStore = db.Quarantine(), db.Close
			}
		}
	}
	if err != nil || q == nil {
		t.Fatalf("no store of %v: %v", env, err)
	}
	return q, func() {
		if err := closeStore(); err != nil {
			t.Error(err)
		}
	}
}

// serverTime returns what the server of a database has taken of all processors; 0
// without one.
func serverTime(t *testing.T, e engine) time.Duration {
	t.Helper()
	m, ok := e.(mongodb)
	if !ok {
		return 0
	}
	var status struct {
		Extra struct {
			User   int64 `bson:"user_time_us"`
			System int64 `bson:"system_time_us"`
		} `bson:"extra_info"`
	}
	if err := m.set.Client().Database("admin").RunCommand(t.Context(), bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status); err != nil {
		t.Fatal(err)
	}
	return time.Duration(status.Extra.User+status.Extra.System) * time.Microsecond
}
