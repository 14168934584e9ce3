package listeners_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
)

// history returns versions 0..n-1 of tickets 0..tickets-1, interleaved.
func history(tickets, n int) []event.Event {
	var events []event.Event
	for v := range n {
		for i := range tickets {
			events = append(events, ticket(ticketID(i), int64(v)))
		}
	}
	return events
}

// displace moves a part of the events to another place nearby, by up to far.
func displace(events []event.Event, part float64, far int, rng *rand.Rand) {
	for i := range events {
		if rng.Float64() < part {
			j := min(i+1+rng.IntN(far), len(events)-1)
			events[i], events[j] = events[j], events[i]
		}
	}
}

func TestShuffledEventsWithDuplicatesEndInTheCanonicalState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.join(t, setup{})
	events := history(20, 10)
	events = append(events, events[:50]...)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	w.publish(t, events...)
	w.settled(t, 20, 9)
	until(t, "everything is acknowledged", func() bool { return metric(t, "lockstep_listener_in_flight", nil, m) == 0 })
	if n := metric(t, "lockstep_listener_messages_total", map[string]string{"outcome": "duplicate"}, m); n != 50 {
		t.Errorf("%v duplicates, want 50", n)
	}
	if n := metric(t, "lockstep_listener_messages_total", map[string]string{"outcome": "applied"}, m); n != 200 {
		t.Errorf("%v applied, want 200", n)
	}
}

// unhurried leaves all time to the listeners: no redelivery can help, and one
// that happens is not the machine's fault.
func unhurried() listeners.Options { return listeners.Options{AckWait: time.Minute} }

func TestThreeMembersShareADisplacedStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	members := w.members(t, 3, setup{options: unhurried()})
	events := history(500, 10)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	displace(events, 0.05, 200, rand.New(rand.NewPCG(seed, 0)))
	began := time.Now()
	w.publish(t, events...)
	w.settled(t, 500, 9)
	t.Logf("took %s", time.Since(began))
	inOrder(t, members)
}

func TestOneHotTicketOverThreeMembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	members := w.members(t, 3, setup{options: unhurried()})
	began := time.Now()
	w.publish(t, history(1, 500)...)
	w.settled(t, 1, 499)
	t.Logf("took %s", time.Since(began))
	inOrder(t, members)
}

// inOrder waits until everything is acknowledged and checks that the broker
// had to send nothing twice.
func inOrder(t *testing.T, members []*member) {
	t.Helper()
	until(t, "everything is acknowledged", func() bool { return metric(t, "lockstep_listener_in_flight", nil, members...) == 0 })
	if n := metric(t, "lockstep_listener_received_total", map[string]string{"delivery": "redelivered"}, members...); n != 0 {
		t.Errorf("%v redeliveries, want none", n)
	}
	for i, m := range members {
		t.Logf("member %d: received %v, held %v, hints %v", i, metric(t, "lockstep_listener_received_total", nil, m),
			metric(t, "lockstep_listener_messages_total", map[string]string{"outcome": "held"}, m),
			metric(t, "lockstep_listener_hints_total", map[string]string{"direction": "sent"}, m))
	}
}
