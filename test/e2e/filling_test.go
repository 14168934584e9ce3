package e2e

import (
	"net/http"
	"strings"
	"testing"

	"lockstep/test/spawn"
)

// TestAnEmptyReplicaIsNotReadyUntilItWasFilled, whatever the bus brings
// meanwhile, and over a kill. Case 11.2.
func TestAnEmptyReplicaIsNotReadyUntilItWasFilled(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		s.create(t, "ann@example.com")
		s.orders.stop(t)

		at := spawn.Addresses(t, 1)
		empty := s.another(t, e)
		empty.Env = append(empty.Env, "CANONICAL_URL=http://"+at[0])
		empty.Launch(t)
		notReady := func() bool {
			status, body := s.readyz(t, empty)
			return status == http.StatusServiceUnavailable && strings.Contains(body, "was not filled from its owner yet")
		}
		until(t, "it says that it was not filled", notReady)
		s.create(t, "ann@example.com")
		until(t, "an event is applied", func() bool { return empty.rows(t) > 0 })
		empty.kill(t)
		empty.Launch(t)
		until(t, "it says so again", notReady)
		empty.kill(t)

		empty.Env = append(empty.Env, "CANONICAL_URL="+s.ticketsOps)
		empty.start(t)
		if n := empty.rows(t); n != 2 {
			t.Errorf("ready with %d rows, want both tickets", n)
		}
		empty.kill(t)
		empty.Env = append(empty.Env, "CANONICAL_URL=http://"+at[0])
		empty.start(t) // it was filled once
		empty.kill(t)
		empty.emptyReplica(t)
		empty.Launch(t)
		until(t, "an emptied one is not ready", notReady)
	})
}

// readyz returns what the readiness of a process is; status 0 if it does not
// answer.
func (s *system) readyz(t *testing.T, p *process) (int, string) {
	t.Helper()
	r, err := s.try(t, "", http.MethodGet, p.Ready, nil)
	if err != nil {
		return 0, ""
	}
	return r.status, r.raw
}
