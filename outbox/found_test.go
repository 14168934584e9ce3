package outbox_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/event"
	"lockstep/outbox"
)

// Case 9.3: what a relay that crashed has published is not published again by
// the next one.
func TestTheNextRelayPublishesOnlyWhatTheBrokerLacks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.swallow = true
		s.commit(tickets("a", 2)...)
		s.commit(tickets("b", 2)...)
		stop := start(t, s, b, func(o *outbox.Options) { o.StopTimeout = time.Millisecond })
		after(time.Second)
		stop()
		wantSame(t, b, "a:0:ticket:created", "b:0:ticket:created")
		b.set(func() { b.swallow = false })
		stop = start(t, s, b)
		after(2 * ttl)
		stop()
		wantSame(t, b, "a:0:ticket:created", "b:0:ticket:created", "a:1:ticket:updated", "b:1:ticket:updated")
		wantEmpty(t, s)
	})
}

// Case 9.3: an answer that was lost with the connection leads to no second
// copy.
func TestAnEventWhoseAnswerWasLostIsLookedForFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.swallow = true
		stop := start(t, s, b)
		s.commit(tickets("a", 3)...)
		s.commit(tickets("b", 1)...)
		after(time.Second)
		b.set(func() { b.swallow = false })
		b.cut()
		after(time.Second)
		b.restore()
		after(time.Second)
		stop()
		wantSame(t, b, "a:0:ticket:created", "b:0:ticket:created", "a:1:ticket:updated", "a:2:ticket:updated")
		wantEmpty(t, s)
	})
}

// Case 9.3: neither does the retry job make one, nor an operator.
func TestARetryLooksForTheEventFirst(t *testing.T) {
	t.Parallel()
	for name, byHand := range map[string]bool{"the job": false, "an operator": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, b := newShelf(), newBus()
				s.commit(tickets("a", 2)...)
				if _, err := s.Fail(t.Context(), "a:0:ticket:created", outbox.Failure{At: time.Now(), Class: outbox.Unconfirmed}, time.Now().Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				b.stored = append(b.stored, tickets("a", 1)...) // the broker was late
				stop := start(t, s, b)
				after(time.Second)
				if byHand {
					if err := s.retry("a:0:ticket:created"); err != nil {
						t.Fatal(err)
					}
				} else {
					after(2 * time.Hour)
				}
				after(time.Second)
				stop()
				wantSame(t, b, "a:0:ticket:created", "a:1:ticket:updated")
				wantEmpty(t, s)
			})
		})
	}
}

// Case 9.3: a message that does not tell which event it is proves nothing.
func TestAPayloadWithoutKeyAndVersionIsPublishedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.stored = []event.Event{{Key: "a", Version: 0, Subject: event.TicketCreated, Payload: []byte(`{}`)}}
		s.commit(event.Event{Key: "b", Version: 0, Subject: event.TicketCreated, Payload: []byte(`{}`), OccurredAt: time.Now()})
		s.until = time.Now().Add(time.Second) // somebody led before
		stop := start(t, s, b)
		after(ttl)
		stop()
		wantSame(t, b, "a:0:ticket:created", "b:0:ticket:created")
	})
}

// Case 10.5: a store that was restored gives versions again. Their events are
// new, also where they say what was said before.
func TestAnEventOfTheSamePayloadThatOccurredLaterIsPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.stored = tickets("a", 2)
		s.commit(tickets("a", 1)...) // of the backup
		s.until = time.Now().Add(time.Second)
		stop := start(t, s, b)
		after(time.Minute)
		s.commit(tickets("a", 2)[1:]...)
		after(time.Second)
		stop()
		wantSame(t, b, "a:0:ticket:created", "a:1:ticket:updated", "a:1:ticket:updated")
		wantEmpty(t, s)
	})
}

// Case 10.23: an event that is discarded between the job's two steps is gone.
func TestADiscardedEventIsNotRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		s.commit(tickets("a", 2)...)
		s.commit(tickets("b", 1)...)
		for _, id := range []string{"a:0:ticket:created", "b:0:ticket:created"} {
			if _, err := s.Fail(t.Context(), id, outbox.Failure{At: time.Now(), Class: outbox.Rejected}, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		s.found = func() { delete(s.records, "a:0:ticket:created"); delete(s.records, "b:0:ticket:created") }
		stop := start(t, s, b)
		after(time.Second)
		stop()
		wantSame(t, b, "a:1:ticket:updated")
		wantEmpty(t, s)
	})
}

// wantSame fails unless the broker has just these events, each once.
func wantSame(t *testing.T, b *bus, want ...string) {
	t.Helper()
	got := b.ids()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the broker has %v, want %v", got, want)
	}
}
