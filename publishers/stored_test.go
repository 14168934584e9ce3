package publishers_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/publishers"
	"lockstep/test/brokertest"
	"lockstep/test/spawn"
)

// Case 9.3: the look at a channel is bounded by number and by time, and sees
// everything within.
func TestStoredReportsTheEndOfAChannel(t *testing.T) {
	t.Parallel()
	p := publishers.New(brokertest.Start(t).Dial(t, "publisher"))
	if err := p.Connected(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	publish := func(n int) {
		for range n {
			want = append(want, fmt.Sprint(len(want)))
			answer := make(chan error, 1)
			p.Publish(event.Event{Subject: event.TicketCreated, Payload: []byte(want[len(want)-1])}, func(err error) { answer <- err })
			if err := <-answer; err != nil {
				t.Fatal(err)
			}
		}
	}
	stored := func(since time.Time, atMost int) (got []string) {
		t.Helper()
		subjects := []event.Subject{event.TicketCreated, event.TicketDeleted, "no channel"}
		err := p.Stored(t.Context(), subjects, since, atMost, func(s event.Subject, payload []byte, at time.Time) {
			if time.Since(at).Abs() > time.Minute {
				t.Errorf("%s was stored at %v", payload, at)
			}
			if s == event.TicketCreated {
				got = append(got, string(payload))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	publish(20)
	spawn.Pause(t, 100*time.Millisecond) // the look's start is a distance from the broker's now
	between := time.Now().Add(-50 * time.Millisecond)
	publish(5)
	if got := stored(between.Add(-time.Hour), 1000); !slices.Equal(got, want) {
		t.Errorf("all of it is %v, want %v", got, want)
	}
	if got := stored(between.Add(-time.Hour), 3); !slices.Equal(got, want[22:]) {
		t.Errorf("the latest 3 are %v, want %v", got, want[22:])
	}
	if got := stored(between, 1000); !slices.Equal(got, want[20:]) {
		t.Errorf("since then there are %v, want %v", got, want[20:])
	}
	if got := stored(time.Now().Add(time.Second), 1000); len(got) > 0 {
		t.Errorf("after the last one there are %v, want none", got)
	}
}
