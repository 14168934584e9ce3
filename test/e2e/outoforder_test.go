package e2e

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// soak tells the long forms of tests.
func soak() bool { return os.Getenv("LOCKSTEP_SOAK") != "" }

// inSoaks skips a test that takes long unless LOCKSTEP_SOAK is set.
func inSoaks(t *testing.T) {
	t.Helper()
	if !soak() {
		t.Skip("it takes long: run with LOCKSTEP_SOAK=1")
	}
}

// sized returns how much a test plays: little, or much with LOCKSTEP_SOAK.
func sized(little, much int) int {
	if soak() {
		return much
	}
	return little
}

func newIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = objectid.New()
	}
	return ids
}

// history returns the versions 0 to last of the tickets, each ticket's in
// order, all tickets side by side.
func history(ids []string, last int64) []said {
	var all []said
	for v := range last + 1 {
		for _, id := range ids {
			subject, payload := foreign(id, v)
			all = append(all, said{subject, payload})
		}
	}
	return all
}

// displace moves a share of the messages to a place further behind.
func displace(all []said, share float64, by int) {
	for i := range all {
		if rand.Float64() < share {
			j := min(len(all)-1, i+1+rand.IntN(by))
			all[i], all[j] = all[j], all[i]
		}
	}
}

// untilAll waits until the replica has the version of every ticket and returns
// how long that took.
func (f *fleet) untilAll(t *testing.T, ids []string, version int64) time.Duration {
	t.Helper()
	began := time.Now()
	for _, id := range ids {
		within(t, 2*time.Minute, "the replica of "+id+" gets on", func() bool { return f.replica(t, id).version() == version })
	}
	return time.Since(began).Round(time.Millisecond)
}

// redelivered counts what processes of the orders service received again.
func redelivered(t *testing.T, members ...*process) float64 {
	t.Helper()
	n := 0.0
	for _, p := range members {
		n += p.sum(t, `lockstep_listener_received_total{delivery="redelivered"`)
	}
	return n
}

// TestDisplacedEvents: one event in twenty comes late, to three processes.
func TestDisplacedEvents(t *testing.T) {
	t.Parallel()
	f := newPods(t)
	bus := f.observe(t)
	ids := newIDs(sized(100, 500))
	all := history(ids, 9)
	displace(all, 0.05, 50)
	bus.sayAll(t, all)
	t.Logf("%d events of %d tickets, 5 %% displaced: applied %v after the last, %v redelivered",
		len(all), len(ids), f.untilAll(t, ids, 9), redelivered(t, f.copies...))
	f.nothingSetAside(t)
}

// TestHotTicket: the versions of one ticket go to three processes in turns. On a
// busy machine one of three tickets does.
func TestHotTicket(t *testing.T) {
	t.Parallel()
	f := newPods(t)
	bus := f.observe(t)
	last, quickest := int64(sized(200, 500)), time.Hour
	for range 3 {
		if quickest < 2*time.Second {
			break
		}
		ids := newIDs(1)
		bus.sayAll(t, history(ids, last))
		quickest = min(quickest, f.untilAll(t, ids, last))
		t.Logf("%d versions of one ticket: applied %v after the last, %v redelivered", last+1, quickest, redelivered(t, f.copies...))
	}
	if quickest >= 2*time.Second {
		t.Error("the members do not tell each other what they applied")
	}
	f.nothingSetAside(t)
}

// TestFloodOfEarlyEvents fills the windows of three processes ten times over
// with events whose predecessors come last.
func TestFloodOfEarlyEvents(t *testing.T) {
	t.Parallel()
	inSoaks(t)
	f := newPods(t, "MAX_IN_FLIGHT=64")
	bus := f.observe(t)
	ids := newIDs(640)
	var early, late []said
	for _, m := range history(ids, 2) {
		if m.subject == event.TicketCreated {
			late = append(late, m)
		} else {
			early = append([]said{m}, early...)
		}
	}
	bus.sayAll(t, early)
	bus.sayAll(t, late)
	t.Logf("%d early events before windows of 64: applied %v after the last, %v redelivered",
		len(early), f.untilAll(t, ids, 2), redelivered(t, f.copies...))
}

// TestDisplacedEventsWhileMembersDie kills the processes of the replica's
// group, and the broker, in the middle of it.
func TestDisplacedEventsWhileMembersDie(t *testing.T) {
	t.Parallel()
	f := newPods(t)
	bus := f.observe(t)
	ids := newIDs(sized(50, 500))
	all := history(ids, 9)
	displace(all, 0.05, 50)
	whileKilling(t, append([]*process{f.broker}, f.copies...), func() {
		for batch := range slices.Chunk(all, 20) {
			bus.sayAll(t, batch)
			pause(t, 100*time.Millisecond) // spreads the events over the kills
		}
	})
	t.Logf("applied %v after the last kill", f.untilAll(t, ids, 9))
}
