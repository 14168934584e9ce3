package e2e

import (
	"net/http"
	"os"
	"testing"
	"time"

	"lockstep/test/mongotest"
)

// TestPodsSurviveTheirDatabase breaks a set of three members while three
// processes of each service work on it.
func TestPodsSurviveTheirDatabase(t *testing.T) {
	if os.Getenv("LOCKSTEP_CHAOS") == "" {
		t.Skip("elections take minutes: run `make chaos-mongo`")
	}
	set := mongotest.Start(t, 3)
	for _, fault := range []struct {
		name  string
		wound func(t *testing.T, primary *mongotest.Member) (heal func())
	}{
		{"the primary steps down", func(t *testing.T, p *mongotest.Member) func() {
			p.StepDown(t)
			return func() {}
		}},
		{"the primary is killed with -9", func(t *testing.T, p *mongotest.Member) func() {
			p.Kill()
			return func() { p.Restart(t) }
		}},
		{"the primary is frozen for 15 s", func(t *testing.T, p *mongotest.Member) func() {
			p.Freeze(t)
			return func() { p.Thaw(t) }
		}},
		{"the primary is cut off from the others", func(t *testing.T, p *mongotest.Member) func() {
			set.Cut(p)
			return func() { set.Cut() }
		}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			set.Healthy(t)
			f := newFleet(t, mongodb{set}, pods)
			done := make(chan map[string]int64, 1)
			began := time.Now()
			go func() { done <- f.load(t, sized(4_000, 40_000)) }()
			until(t, "the load runs", func() bool { return len(f.stored(t)) > 10 })
			heal := fault.wound(t, set.Primary(t))
			hurt := time.Now()
			within(t, time.Minute, "tickets are created again", func() bool {
				r, err := f.try(t, "ann@example.com", http.MethodPost, f.ticketsURL+"/api/tickets", draft{"concert", 1})
				return err == nil && r.status == http.StatusCreated
			})
			again := time.Since(hurt)
			pause(t, 15*time.Second-again)
			heal()
			answered := <-done
			took := time.Since(began) // of all writes, with the fault
			set.Healthy(t)
			healthy := time.Now()
			f.compare(t, answered)
			f.nothingSetAside(t)
			const ms = time.Millisecond
			t.Logf("a ticket created %v after the fault; %d tickets written in %v; compared equal %v after the set was whole",
				again.Round(ms), len(answered), took.Round(ms), time.Since(healthy).Round(ms))
		})
	}
}
