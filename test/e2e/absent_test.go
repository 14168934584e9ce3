package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// TestAnAbsentStoreIsWaitedFor: a process whose database is not there, or has no
// primary, is alive, says on its ops port what it waits for, goes on by itself
// when it comes, and stops at once if it is told to. Case 11.11.
func TestAnAbsentStoreIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"tickets", "orders"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			if service == "orders" {
				inSoaks(t) // it waits in the same way
			}
			set := mongotest.Start(t, 1)
			set.Members[0].Kill()
			p := alone(t, service, mongodb{set}, "NATS_URL="+brokertest.Start(t).URL(), "NATS_CLUSTER_ID="+brokertest.ClusterID)
			p.Launch(t)
			wantWaiting(t, p, "no MongoDB answers at")
			p.stop(t)

			p.Launch(t)
			wantWaiting(t, p, "no MongoDB answers at")
			set.Members[0].Restart(t)
			until(t, "it is ready", func() bool { return ready(t, p) })
			if p.sum(t, "lockstep_mongodb_batch_changes_count") < 0 || p.sum(t, "lockstep_ready") != 1 {
				t.Error("metrics are missing")
			}
		})
	}
}

// TestASetWithoutAPrimaryIsWaitedFor. Case 11.11.
func TestASetWithoutAPrimaryIsWaitedFor(t *testing.T) {
	t.Parallel()
	inSoaks(t)
	set := mongotest.Start(t, 3)
	for _, m := range set.Members[1:] {
		m.Kill()
	}
	p := alone(t, "tickets", mongodb{set})
	untilSilent(t, set)
	p.Launch(t)
	wantWaiting(t, p, "has no primary now")
	for _, m := range set.Members[1:] {
		m.Restart(t)
	}
	until(t, "it is ready", func() bool { return ready(t, p) })
}

// TestWhatOnlyAPersonCanMendIsNotWaitedFor. Case 11.11.
func TestWhatOnlyAPersonCanMendIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	at := spawn.Addresses(t, 3)
	p := pod("tickets", 0, at[0], []string{"NATS_URL=" + at[1], "NATS_CLUSTER_ID=c", "JWT_KEY=" + jwtKey},
		[]string{"MONGO_URI=mongodb://" + mongotest.Standalone(t) + "/tickets"}, "TICKETS_ADDR="+at[2])
	p.Launch(t)
	until(t, "it ends", func() bool {
		select {
		case <-p.Ended():
			return true
		default:
			return false
		}
	})
	if !strings.Contains(p.Output(), "is a standalone server") {
		t.Error("it does not say why")
	}
}

// wantWaiting waits until a process says what it waits for.
func wantWaiting(t *testing.T, p *process, why string) {
	t.Helper()
	ops := strings.TrimSuffix(p.Ready, "/readyz")
	until(t, "it says what it waits for", func() bool {
		status, body := read(t, p.Ready)
		return status == http.StatusServiceUnavailable && strings.Contains(body, fmt.Sprint(`{"name":"`, p.Args[0], ` store","status":"failed","reason":"open MongoDB: `)) && strings.Contains(body, why)
	})
	began := time.Now()
	if status, body := read(t, ops+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d %s", status, body)
	}
	if status, body := read(t, ops+"/ops/outbox"); status != http.StatusServiceUnavailable || !strings.Contains(body, "/readyz says") {
		t.Errorf("/ops/outbox: %d %s, want to be sent to /readyz", status, body)
	}
	if status, body := read(t, ops+"/metrics"); status != http.StatusOK || !strings.Contains(body, fmt.Sprintf("lockstep_check_ok{check=%q} 0", p.Args[0]+" store")) {
		t.Errorf("/metrics: %d, or without the check", status)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("three answers took %v: they waited for the store", took)
	}
}

// read returns the answer of a page; 0 without one.
func read(t *testing.T, url string) (status int, body string) {
	t.Helper()
	s := system{}
	r, err := s.try(t, "", http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	return r.status, r.raw
}
