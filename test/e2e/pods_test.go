package e2e

import (
	"bufio"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/test/mongotest"
)

// pods is how many processes of each service share a replica set.
const pods = 3

func newPods(t *testing.T, extra ...string) *fleet {
	t.Helper()
	return newFleet(t, mongodb{mongotest.Shared(t)}, pods, extra...)
}

// TestPodsShareTheWork: as long as nobody dies, three processes of each
// service publish every event once and in order, and deliver nothing twice.
func TestPodsShareTheWork(t *testing.T) {
	t.Parallel()
	f := newPods(t)
	until(t, "the windows are wide", func() bool { // the broker may send twice what comes while one is opened
		for _, p := range f.copies {
			if p.sum(t, "lockstep_listener_window") < 5*1024 {
				return false
			}
		}
		return true
	})
	bus := f.observe(t)
	answered := f.load(t, writes()/4)
	f.compare(t, answered)
	for id, version := range answered {
		bus.wantInOrder(t, id, version)
	}
	for _, p := range f.copies {
		if p.sum(t, "lockstep_listener_received_total") == 0 {
			t.Errorf("%s received nothing", p.Name)
		}
	}
	if n := redelivered(t, f.copies...); n > 0 {
		t.Errorf("%v messages were delivered again", n)
	}
	f.nothingSetAside(t)
}

// nothingSetAside waits until the quarantine is empty: what was set aside for a
// while was applied.
func (f *fleet) nothingSetAside(t *testing.T) {
	t.Helper()
	until(t, "nothing is in quarantine", func() bool {
		r := f.do(t, "", http.MethodGet, f.ordersOps+"/ops/replica/quarantine", nil, http.StatusOK)
		return !strings.Contains(r.raw, "reason")
	})
}

// TestKilledPodsLoseNothing is TestKillsLoseNothing for all processes of three
// pods of each service, and their broker.
func TestKilledPodsLoseNothing(t *testing.T) {
	t.Parallel()
	f := newPods(t)
	var answered map[string]int64
	whileKilling(t, f.processes(), func() { answered = f.load(t, writes()/2) })
	f.compare(t, answered)
}

// TestAnotherPodTakesOver measures how long events wait for a relay that was
// killed, one that was stopped, and a listener that was killed.
func TestAnotherPodTakesOver(t *testing.T) {
	t.Parallel()
	f := newPods(t)
	bus := f.observe(t)
	wait := func(what string, limit time.Duration, end func(*process)) {
		t.Helper()
		leader := f.leader(t)
		end(leader)
		began := time.Now()
		id := ""
		until(t, "a ticket is created", func() bool { // one of three addresses is dead
			r, err := f.try(t, "ann@example.com", http.MethodPost, f.ticketsURL+"/api/tickets", draft{"concert", 1})
			id = r.id()
			return err == nil && r.status == http.StatusCreated
		})
		within(t, limit, what+": its event is published", func() bool { return len(bus.of(id)) > 0 })
		t.Logf("%s: published after %v", what, time.Since(began).Round(time.Millisecond))
		leader.start(t)
	}
	wait("the relay was killed", 15*time.Second, func(p *process) { p.kill(t) })
	wait("the relay was stopped", 5*time.Second, func(p *process) { p.stop(t) })

	// It gets messages that it cannot acknowledge: frozen, since the broker
	// passes a dead member over as soon as that misses a heartbeat.
	f.orders.Freeze(t)
	const tickets = 30
	var all []said
	ids := newIDs(tickets)
	for _, id := range ids {
		subject, payload := foreign(id, 0)
		all = append(all, said{subject, payload})
	}
	bus.sayAll(t, all)
	f.orders.kill(t)
	began := time.Now()
	for _, id := range ids {
		within(t, 30*time.Second, "the others apply what was the dead one's", func() bool {
			r, err := f.try(t, "", http.MethodGet, f.ordersOps+"/ops/replica/tickets/"+id, nil)
			return err == nil && r.status == http.StatusOK
		})
	}
	if redelivered(t, f.copies[1:]...) == 0 {
		t.Error("nothing was delivered again: the dead one had nothing")
	}
	t.Logf("a listener was killed: %d events applied after %v", tickets, time.Since(began).Round(time.Millisecond))
}

// leader waits until a process of the tickets service publishes for all.
func (f *fleet) leader(t *testing.T) *process {
	t.Helper()
	var leader *process
	until(t, "a relay leads", func() bool {
		for _, p := range f.canonical {
			if p.sum(t, "lockstep_outbox_leader") == 1 {
				leader = p
			}
		}
		return leader != nil
	})
	return leader
}

// sum adds up the metrics of a process whose line begins with prefix.
func (p *process) sum(t *testing.T, prefix string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(p.Ready, "/readyz")+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sum := 0.0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		if v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64); err == nil && !math.IsNaN(v) && strings.HasPrefix(line, prefix) {
			sum += v
		}
	}
	return sum
}
