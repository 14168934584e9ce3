package outbox_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/event"
	"lockstep/outbox"
)

// refuse rejects every attempt of one event.
func refuse(id string) func(event.Event) error {
	return func(e event.Event) error {
		if e.ID() == id {
			return fmt.Errorf("%w: too large", event.ErrRejected)
		}
		return nil
	}
}

func TestAFailedEventBlocksOnlyItsKeyAndIsRetriedWithBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.verdict = refuse("a:1:ticket:updated")
		s.commit(tickets("a", 3)...)
		s.commit(tickets("b", 3)...)
		stop := start(t, s, b)
		after(100 * time.Millisecond)

		left := s.waiting()
		if len(left) != 2 || left[0].ID() != "a:1:ticket:updated" {
			t.Fatalf("%d events left, want the failed one and the one behind it", len(left))
		}
		f := left[0].Failures
		if left[0].Locked || f.Total != 1 || f.Kept[0].Class != outbox.Rejected || f.Kept[0].Message != "publish rejected: too large" {
			t.Errorf("the failed event is %+v, want it unlocked with one recorded rejection", left[0])
		}
		if !left[1].Locked {
			t.Errorf("the event behind the failed one is unlocked, want it untouched")
		}

		after(20 * time.Second)
		at := b.attempts("a:1:ticket:updated")
		for i, gap := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			got := at[i+1].Sub(at[i])
			if got < gap/2 || got > gap+600*time.Millisecond {
				t.Errorf("attempt %d came after %v, want %v with jitter and within a retry interval", i+2, got, gap)
			}
		}
		b.set(func() { b.verdict = nil })
		after(time.Minute)
		stop()
		wantEmpty(t, s)
		if got, want := b.ids()[len(b.ids())-2:], []string{"a:1:ticket:updated", "a:2:ticket:updated"}; got[0] != want[0] || got[1] != want[1] {
			t.Errorf("published at the end %v, want %v", got, want)
		}
	})
}

func TestAtTheThresholdAPersonIsCalledAndTheEventStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.verdict = refuse("a:0:ticket:created")
		s.commit(tickets("a", 2)...)
		var calls []outbox.Record
		stop := start(t, s, b, func(o *outbox.Options) {
			o.OnThreshold = func(_ context.Context, r outbox.Record) { calls = append(calls, r) }
		})
		after(2 * time.Hour)
		if len(calls) != 1 || calls[0].ID() != "a:0:ticket:created" || calls[0].Failures.Total != 10 {
			t.Fatalf("OnThreshold was called %d times, want once, with 10 failures", len(calls))
		}
		if left := s.waiting(); len(left) != 2 {
			t.Errorf("%d events left, want both: nothing is dropped or overtaken", len(left))
		}

		b.set(func() { b.verdict = nil })
		if err := s.retry("a:0:ticket:created"); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		wantStored(t, b, "a:0:ticket:created", "a:1:ticket:updated")
		stop()
	})
}

func TestDiscardingTheFailedEventFreesItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.verdict = refuse("a:0:ticket:created")
		s.commit(tickets("a", 2)...)
		stop := start(t, s, b)
		after(time.Minute)
		if err := s.Delete(t.Context(), []outbox.Ref{{Key: "a", Subject: event.TicketCreated}}); err != nil {
			t.Fatal(err)
		}
		after(2 * time.Second)
		wantStored(t, b, "a:1:ticket:updated")
		stop()
		wantEmpty(t, s)
	})
}

func TestAnOutageIsWaitedOutWithoutTryingAndWithoutFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		stop := start(t, s, b)
		after(time.Second)
		b.cut()
		for i := range 100 {
			s.commit(tickets(fmt.Sprint("k", i), 3)...)
		}
		after(time.Hour)
		if n := len(b.sent); n > 1 {
			t.Errorf("%d attempts during the outage, want the one that found it", n)
		}
		for _, r := range s.waiting() {
			if !r.Locked || r.Failures.Total > 0 {
				t.Fatalf("%s is %+v, want no failure recorded", r.ID(), r)
			}
		}
		b.restore()
		after(time.Second)
		stop()
		wantEmpty(t, s)
		if n := len(b.ids()); n != 300 {
			t.Errorf("%d events published, want each of 300 once", n)
		}
	})
}

func TestUnansweredEventsOfAnOutageAreSentAgainAndHaveNotFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.silent = true
		s.commit(tickets("a", 2)...)
		s.commit(tickets("b", 2)...)
		stop := start(t, s, b)
		after(time.Second)
		b.set(func() { b.silent = false })
		b.cut()
		after(10 * time.Minute)
		if got := len(b.sent); got != 2 {
			t.Errorf("%d attempts, want none after the cut", got)
		}
		b.restore()
		after(time.Second)
		stop()
		wantEmpty(t, s)
		for _, id := range []string{"a:0:ticket:created", "b:0:ticket:created"} {
			if n := len(b.attempts(id)); n != 2 {
				t.Errorf("%s was sent %d times, want the very same event twice", id, n)
			}
		}
	})
}

func TestManyOutagesInARowAreNoFailureOfTheEventUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.silent = true
		s.commit(tickets("a", 1)...)
		stop := start(t, s, b)
		for range 8 {
			after(time.Second)
			b.cut()
			after(time.Second)
			b.restore()
		}
		after(time.Second)
		if r := s.waiting()[0]; r.Failures.Total > 0 || len(b.attempts(r.ID())) != 9 {
			t.Errorf("%d failures after %d attempts, want none after one attempt per connection", r.Failures.Total, len(b.attempts(r.ID())))
		}
		stop()
	})
}

func TestAConnectionThatSendsNothingIsNotHammeredAndNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.verdict = func(event.Event) error { return event.ErrUnreachable }
		s.commit(tickets("a", 1)...)
		stop := start(t, s, b)
		after(time.Minute)
		r := s.waiting()[0]
		if n := len(b.attempts(r.ID())); r.Failures.Total > 0 || n < 5 || n > 40 {
			t.Errorf("%d failures after %d attempts within a minute, want none after a few attempts", r.Failures.Total, n)
		}
		b.set(func() { b.verdict = nil })
		after(10 * time.Second)
		stop()
		wantEmpty(t, s)
	})
}

func TestAnEventThatIsNeverAnsweredFailsAfterRepeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.verdict = func(e event.Event) error {
			if e.Key == "a" {
				return fmt.Errorf("%w: timeout", event.ErrUnconfirmed)
			}
			return nil
		}
		s.commit(tickets("a", 2)...)
		s.commit(tickets("b", 2)...)
		stop := start(t, s, b)
		after(490 * time.Millisecond)
		if n := len(b.attempts("a:0:ticket:created")); n != 4 {
			t.Errorf("%d attempts, want the first and three repeats", n)
		}
		left := s.waiting()
		if len(left) != 2 || left[0].Failures.Total != 1 || left[0].Failures.Kept[0].Class != outbox.Unconfirmed {
			t.Errorf("left %+v, want one failure of class unconfirmed", left)
		}
		b.set(func() { b.verdict = nil })
		after(time.Minute)
		stop()
		wantEmpty(t, s)
	})
}

func TestWhenTheBrokerRefusesNearlyEverythingTheRelayPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.verdict = func(event.Event) error { return event.ErrRejected }
		for i := range 500 {
			s.commit(change(fmt.Sprint("k", i), 0))
		}
		stop := start(t, s, b, func(o *outbox.Options) { o.MaxBlocked, o.Window = 20, 4 })
		after(10 * time.Minute)
		failed := 0
		for _, r := range s.waiting() {
			if !r.Locked {
				failed++
			}
		}
		if failed < 20 || failed > 50 {
			t.Errorf("%d of 500 keys have failed, want about the bound of 20", failed)
		}
		b.set(func() { b.verdict = nil })
		after(30 * time.Minute)
		stop()
		wantEmpty(t, s)
	})
}
