package listeners_test

import (
	"fmt"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
)

// window is a small one, so that a flood is soon ten times as large.
const window = 32

// patient are the options of a flood: no redelivery can help.
func patient() listeners.Options {
	return listeners.Options{MaxInFlight: window, AckWait: time.Minute}
}

func (w *world) members(t *testing.T, n int, s setup) []*member {
	t.Helper()
	var members []*member
	for range n {
		members = append(members, w.join(t, s))
	}
	return members
}

func TestAFloodOfEarlyMessagesWhosePredecessorsComeLast(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d members", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			members := w.members(t, n, setup{options: patient()})
			const tickets = 10 * window
			var events []event.Event
			for _, v := range []int64{0, 2, 1} {
				for i := range tickets {
					events = append(events, ticket(ticketID(i), v))
				}
			}
			began := time.Now()
			w.publish(t, events...)
			w.settled(t, tickets, 2)
			t.Logf("took %s", time.Since(began))
			w.calm(t, members)
		})
	}
}

func TestTenWindowsOfOneTicketWhoseFirstVersionComesLast(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d members", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			members := w.members(t, n, setup{options: patient()})
			events := history(1, 10*window)
			first := events[1]
			events = append(append(events[:1:1], events[2:]...), first)
			began := time.Now()
			w.publish(t, events...)
			w.settled(t, 1, 10*window-1)
			t.Logf("took %s", time.Since(began))
			w.calm(t, members)
		})
	}
}

func TestEarlyMessagesThatStayEarlyDoNotKeepOthersAndComeBackByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	members := w.members(t, 1, setup{options: patient()})
	const tickets = 10 * window
	var early, missing []event.Event
	for i := range tickets {
		early = append(early, ticket(ticketID(i), 2))
		missing = append(missing, ticket(ticketID(i), 0), ticket(ticketID(i), 1))
	}
	w.publish(t, early...)
	fresh := ticketID(tickets)
	w.publish(t, ticket(fresh, 0), ticket(fresh, 1))
	began := time.Now()
	most := 0.0 // messages in memory
	until(t, "a ticket behind the flood gets on", func() bool {
		most = max(most, metric(t, "lockstep_listener_in_flight", nil, members...))
		return w.version(t, fresh) == 1
	})
	if bound := float64(4 * window); most > bound { // and both of the fresh ticket
		t.Errorf("%v messages in memory at once, want %v at most", most, bound)
	}
	t.Logf("%v of %d messages in memory at once", most, len(early))
	t.Logf("behind the flood after %s", time.Since(began))
	if n := metric(t, "lockstep_listener_quarantined", nil, members...); n == 0 {
		t.Errorf("nothing in quarantine, want what did not fit")
	}
	w.publish(t, missing...)
	w.publish(t, ticket(fresh, 2))
	w.settled(t, tickets+1, 2)
	t.Logf("all after %s", time.Since(began))
	w.calm(t, members)
}

// calm waits until everything is acknowledged and nothing is left aside, and
// checks that memory stayed within its bound.
func (w *world) calm(t *testing.T, members []*member) {
	t.Helper()
	until(t, "everything is acknowledged", func() bool { return metric(t, "lockstep_listener_in_flight", nil, members...) == 0 })
	until(t, "the quarantine is empty", func() bool {
		n, err := w.db.Quarantine().Count(t.Context())
		if err != nil {
			t.Fatalf("count: %v", err)
		}
		return n == 0
	})
	for i, m := range members {
		t.Logf("member %d: received %v, set aside %v, refused %v", i,
			metric(t, "lockstep_listener_received_total", nil, m),
			metric(t, "lockstep_listener_messages_total", map[string]string{"outcome": "quarantined"}, m),
			metric(t, "lockstep_listener_refused_total", nil, m))
	}
}
