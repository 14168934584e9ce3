package listeners_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
)

// flood is a mass of messages of one kind that cannot be applied.
type flood struct {
	name        string
	short, long int // how many; long ones behind LOCKSTEP_SOAK
	message     func(i int) event.Event
}

func earlyOf(i int) event.Event {
	e, err := event.Ticket{ID: fmt.Sprintf("%024x", 1<<40+i), Title: "t", Price: 1, UserID: "u", Version: 5}.Updated(time.Unix(0, 0))
	if err != nil {
		panic(err) // plain strings and numbers always encode
	}
	return e
}

// Case 11.4: in each of these floods a legitimate event behind all of it is
// applied at no less than a quarter of the rate of good events, and one beside
// it within 5 s.
func TestALegitimateEventBehindAFloodIsNotKeptWaiting(t *testing.T) {
	for _, f := range []flood{
		{name: "large early ones", short: 100, long: 2_500, message: func(i int) event.Event { return padded(earlyOf(i), 900_000) }},
		{name: "small early ones", short: 10_000, long: 1_000_000, message: earlyOf},
		{name: "unreadable ones", short: 10_000, long: 500_000, message: func(i int) event.Event {
			return event.Event{Subject: event.TicketUpdated, Payload: fmt.Appendf(nil, "{%d", i)}
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			n := f.short
			switch {
			case os.Getenv("LOCKSTEP_SOAK") != "":
				n = f.long
			case testing.Short():
				n /= 5
			}
			good := takes(t, n, func(i int) event.Event {
				e := f.message(i)
				if bytes.HasPrefix(e.Payload, []byte("{\"")) { // the same size, and no predecessor
					e.Subject, e.Payload = event.TicketCreated, bytes.Replace(e.Payload, []byte(`"version":5`), []byte(`"version":0`), 1)
					return e
				}
				return ticket(ticketID(1000+i), 0)
			})
			bad := takes(t, n, f.message)
			t.Logf("%d messages: good ones %s, the flood %s", n, good, bad)
			if bound := max(4*good, 30*time.Second); bad > bound { // the short ones show that it comes at all
				t.Errorf("the event behind %d messages was applied after %s, want %s: good ones took %s", n, bad, bound, good)
			}
		})
	}
}

// takes returns how long it takes from the end of n messages until an event
// behind them is applied.
func takes(t *testing.T, n int, message func(int) event.Event) time.Duration {
	t.Helper()
	w := newWorld(t)
	m := w.join(t, setup{options: listeners.Options{HoldFor: time.Hour}})
	w.publish(t, ticket(ticketID(1), 0))
	began := time.Now()
	together := max(1, min(1000, 8<<20/len(message(0).Payload)))
	for i := 0; i < n; i += together {
		var events []event.Event
		for j := i; j < min(n, i+together); j++ {
			events = append(events, message(j))
		}
		w.publish(t, events...)
	}
	w.publish(t, ticket(ticketID(1), 1), ticket(ticketID(2), 0))
	untilFor(t, 15*time.Minute, "the events behind the flood are applied", func() bool {
		return w.version(t, ticketID(1)) == 1 && w.version(t, ticketID(2)) == 0
	})
	took := time.Since(began)
	m.stop()
	return took
}

// untilFor is until with a patience of its own.
func untilFor(t *testing.T, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if <-tick.C; time.Now().After(deadline) {
			t.Fatalf("waited %s until %s", patience, what)
		}
	}
}
