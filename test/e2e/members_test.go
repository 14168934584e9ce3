package e2e

import (
	"net/http"
	"testing"
	"time"

	"lockstep/test/mongotest"
)

// TestPodsSurviveTheirDatabase breaks a set of three members while three
// processes of each service work on it.
func TestPodsSurviveTheirDatabase(t *testing.T) {
	mongotest.EachFault(t, func(t *testing.T, set *mongotest.Set, fault mongotest.Fault) {
		f := newFleet(t, mongodb{set}, pods)
		done := make(chan map[string]int64, 1)
		began := time.Now()
		go func() { done <- f.load(t, sized(4_000, 40_000)) }()
		until(t, "the load runs", func() bool { return len(f.stored(t)) > 10 })
		fault.Inflict(t)
		hurt := time.Now()
		within(t, time.Minute, "tickets are created again", func() bool {
			r, err := f.try(t, "ann@example.com", http.MethodPost, f.ticketsURL+"/api/tickets", draft{"concert", 1})
			return err == nil && r.status == http.StatusCreated
		})
		again := time.Since(hurt)
		pause(t, 15*time.Second-again)
		fault.Heal(t)
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
