package e2e

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/test/mongotest"
)

// TestAFrozenDatabase: while mongod is stopped in its tracks, requests are
// answered within ten seconds and probes within the kubelet's one; afterwards
// everything goes on. A stop meanwhile ends in time, and as it should. Case
// 11.11.
func TestAFrozenDatabase(t *testing.T) {
	t.Parallel()
	set := mongotest.Start(t, 1)
	s := newSystem(t, mongodb{set})
	t.Cleanup(func() { set.Members[0].Thaw(t) }) // before its databases are dropped
	id := s.create(t, "ann@example.com").id()
	s.untilReplica(t, id, 0)

	freeze(t, set)
	var probing sync.WaitGroup
	asked, answered := context.WithCancel(t.Context())
	probing.Go(func() { s.probe(asked, t) })
	s.wantRefusedInTime(t, id)
	answered()
	probing.Wait()
	until(t, "they say that they are not ready", func() bool { return !ready(t, s.tickets) && !ready(t, s.orders) })
	s.counted(t, "nobody knows what the database holds", false)

	set.Members[0].Thaw(t)
	until(t, "they are ready again", func() bool { return ready(t, s.tickets) && ready(t, s.orders) })
	s.counted(t, "it is counted again", true)
	s.untilReplica(t, s.create(t, "ann@example.com").id(), 0)

	freeze(t, set)
	t.Logf("orders stopped after %v", s.orders.stop(t).Round(time.Millisecond))
	s.wantRequestsCutOff(t)
}

// counted waits until the gauges of what a store holds are numbers, or none is.
// Case 11.10.
func (s *system) counted(t *testing.T, what string, wanted bool) {
	t.Helper()
	within(t, 2*time.Minute, what, func() bool {
		for p, names := range map[*process][]string{
			s.orders:  {"lockstep_replica_rows", "lockstep_listener_quarantined", "lockstep_listener_quarantined_bytes", "lockstep_orders_refunds_open", "lockstep_orders_overdue", "lockstep_incidents_open", "lockstep_outbox_unreadable", "lockstep_listener_unaccounted_messages"},
			s.tickets: {"lockstep_lock_waiting", "lockstep_listener_quarantined", "lockstep_incidents_open"},
		} {
			all := p.metrics(t.Context())
			for series, value := range all {
				name, _, _ := strings.Cut(series, "{")
				if slices.Contains(names, name) && math.IsNaN(value) == wanted {
					return false
				}
			}
			if len(all) == 0 {
				return false
			}
		}
		return true
	})
}

// wantRequestsCutOff stops the tickets service while it works on a request
// that the store does not let it answer.
func (s *system) wantRequestsCutOff(t *testing.T) {
	t.Helper()
	var asking sync.WaitGroup
	defer asking.Wait()
	cookie := s.cookie(t, "ann@example.com")
	asking.Go(func() {
		status, err := fetch(t.Context(), newConnections, http.MethodPost, s.ticketsURL+"/api/tickets", cookie, `{"title":"a","price":1}`)
		if err == nil {
			t.Errorf("a request that cannot be served is answered with %d", status)
		}
	})
	pause(t, time.Second) // it has arrived
	s.tickets.Terminate(t)
	within(t, 15*time.Second, "the tickets service ends", func() bool {
		select {
		case <-s.tickets.Ended():
			return true
		default:
			return false
		}
	})
	if said := s.tickets.Output(); !strings.Contains(said, "requests cut off") || strings.Contains(said, "not stopped after") {
		t.Error("it does not say that it cut off a request, and nothing else")
	}
}

// freeze returns once the server answers nothing any more.
func freeze(t *testing.T, set *mongotest.Set) {
	t.Helper()
	set.Members[0].Freeze(t)
	untilSilent(t, set)
}

// untilSilent waits until no primary answers.
func untilSilent(t *testing.T, set *mongotest.Set) {
	t.Helper()
	until(t, "no primary answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		return set.Client().Ping(ctx, nil) != nil
	})
}

func ready(t *testing.T, p *process) bool {
	status, err := fetch(t.Context(), newConnections, http.MethodGet, p.Ready, "", "")
	return err == nil && status == http.StatusOK
}

// wantRefusedInTime sends requests to everything that needs the store.
func (s *system) wantRefusedInTime(t *testing.T, ticket string) {
	t.Helper()
	var asking sync.WaitGroup
	for _, r := range []struct{ method, url, body string }{
		{http.MethodPost, s.ticketsURL + "/api/tickets", `{"title":"a","price":1}`},
		{http.MethodPut, s.ticketsURL + "/api/tickets/" + ticket, `{"title":"a","price":1}`},
		{http.MethodGet, s.ticketsURL + "/api/tickets/" + ticket, ""},
		{http.MethodGet, s.ticketsURL + "/api/tickets", ""},
		{http.MethodDelete, s.ticketsURL + "/api/tickets/" + ticket, ""},
		{http.MethodGet, s.ordersURL + "/api/orders", ""},
		{http.MethodPost, s.ordersURL + "/api/orders", `{"ticketId":"` + ticket + `"}`},
		{http.MethodGet, s.ticketsOps + "/ops/outbox", ""},
		{http.MethodGet, s.ordersOps + "/ops/replica/status", ""},
		{http.MethodGet, s.ordersOps + "/ops/replica/quarantine", ""},
	} {
		asking.Go(func() {
			began := time.Now()
			status, err := fetch(t.Context(), newConnections, r.method, r.url, s.cookie(t, "ann@example.com"), r.body)
			if took := time.Since(began); err != nil || status != http.StatusServiceUnavailable || took > 15*time.Second {
				t.Errorf("%s %s: %d, %v after %v, want 503 after 10 s", r.method, r.url, status, err, took)
			}
		})
	}
	asking.Wait()
}

// probe asks as a kubelet and Prometheus do, until ctx ends: a page that is late
// twice in a row is one that waits for the store, and not a busy machine.
func (s *system) probe(ctx context.Context, t *testing.T) {
	var slowest time.Duration
	late := map[string]error{}
	for ctx.Err() == nil {
		for _, p := range []*process{s.tickets, s.orders} {
			for _, page := range []string{"/healthz", "/readyz", "/metrics"} {
				began := time.Now()
				limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				status, err := fetch(limited, newConnections, http.MethodGet, strings.TrimSuffix(p.Ready, "/readyz")+page, "", "")
				cancel()
				slowest = max(slowest, time.Since(began))
				if err != nil && late[p.Name+page] != nil || err == nil && status != http.StatusOK && page != "/readyz" {
					t.Errorf("%s%s: %d, %v", p.Name, page, status, err)
				}
				late[p.Name+page] = err
			}
		}
		pause(t, 50*time.Millisecond)
	}
	t.Logf("the slowest answer to a probe took %v", slowest.Round(time.Millisecond))
}
