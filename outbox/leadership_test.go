package outbox_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/outbox"
)

const ttl = 5 * time.Second // the default

func TestOneRelayWorksAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := newShelf(), newBus(), newBus()
		stop1 := start(t, s, first)
		after(time.Second)
		stop2 := start(t, s, second)
		s.commit(tickets("a", 5)...)
		after(time.Minute)
		if len(first.ids()) != 5 || len(second.ids()) != 0 {
			t.Errorf("published %d and %d events, want 5 by the first relay alone", len(first.ids()), len(second.ids()))
		}
		stop1()
		stop2()
	})
}

func TestACleanStopHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := newShelf(), newBus(), newBus()
		stop1 := start(t, s, first)
		after(time.Second)
		stop2 := start(t, s, second)
		after(time.Second)
		stop1()
		s.commit(tickets("a", 2)...)
		after(ttl/5 + 100*time.Millisecond)
		wantStored(t, second, "a:0:ticket:created", "a:1:ticket:updated")
		stop2()
	})
}

func TestACrashHandsOverWhenTheLeaseHasRunOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := newShelf(), newBus(), newBus()
		s.noLetGo = true
		first.silent = true
		s.commit(tickets("a", 2)...)
		stop1 := start(t, s, first, func(o *outbox.Options) { o.StopTimeout = time.Millisecond })
		after(time.Second)
		stop2 := start(t, s, second)
		stop1()
		after(ttl / 2)
		if got := second.ids(); len(got) > 0 {
			t.Errorf("the second relay published %v while the lease still ran", got)
		}
		after(ttl/2 + ttl/5 + 100*time.Millisecond)
		wantStored(t, second, "a:0:ticket:created", "a:1:ticket:updated")
		stop2()
		wantEmpty(t, s)
	})
}

func TestTheNextRelayLeavesAFailedEventItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := newShelf(), newBus(), newBus()
		slow := func(o *outbox.Options) { o.Backoff.Base = time.Minute }
		first.verdict = refuse("a:1:ticket:updated")
		s.commit(tickets("a", 3)...)
		stop1 := start(t, s, first, slow)
		after(time.Second)
		stop1()
		stop2 := start(t, s, second, slow)
		after(20 * time.Second)
		if got := second.ids(); len(got) > 0 {
			t.Errorf("the second relay published %v, want it to wait as the first would have", got)
		}
		after(time.Minute)
		wantStored(t, second, "a:1:ticket:updated", "a:2:ticket:updated")
		stop2()
	})
}

// Case 11.10: what was with the broker when the lease was lost stayed in flight
// for ever.
func TestAfterALostLeaseNothingIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b, reg := newShelf(), newBus(), prometheus.NewRegistry()
		b.silent = true
		stop := start(t, s, b, func(o *outbox.Options) { o.Registerer = reg })
		s.commit(tickets("a", 1)...)
		s.commit(tickets("b", 1)...)
		after(time.Second)
		for _, want := range []float64{2, 0} {
			got := map[string]float64{}
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
			}
			if got["lockstep_outbox_in_flight"] != want || got["lockstep_outbox_leader"] != min(want, 1) {
				t.Errorf("%v in flight and leader %v, want %v and %v", got["lockstep_outbox_in_flight"], got["lockstep_outbox_leader"], want, min(want, 1))
			}
			s.steal(time.Hour)
			after(ttl)
		}
		stop()
	})
}

func TestAfterALostLeaseNothingIsPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		stop := start(t, s, b)
		after(time.Second)
		s.steal(time.Hour)
		after(ttl / 3) // the next renewal finds out
		s.commit(tickets("a", 2)...)
		after(time.Minute)
		if got := b.ids(); len(got) > 0 {
			t.Errorf("published %v without the lease", got)
		}
		s.set(func() { s.until = time.Time{} })
		after(ttl / 5)
		after(time.Second)
		wantStored(t, b, "a:0:ticket:created", "a:1:ticket:updated")
		stop()
	})
}

func TestALeaseThatCannotBeRenewedIsNotTrustedToItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		s.noRenew = errors.New("store unreachable")
		stop := start(t, s, b)
		after(ttl - 400*time.Millisecond) // some renewals have failed; by the store's clock the lease runs
		s.set(func() {
			s.noRenew = nil
			s.until = time.Now().Add(time.Hour)
		})
		s.commit(tickets("a", 1)...)
		after(time.Minute)
		if got := b.ids(); len(got) > 0 {
			t.Errorf("published %v on a lease that was about to run out", got)
		}
		stop()
	})
}

func TestAStopWaitsForAnswersAndDeletesWhatWasConfirmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.took = 2 * time.Second
		s.commit(tickets("a", 2)...)
		s.commit(tickets("b", 1)...)
		stop := start(t, s, b)
		after(100 * time.Millisecond)
		stop()
		if left := s.waiting(); len(left) != 1 || left[0].ID() != "a:1:ticket:updated" {
			t.Errorf("left %v, want only what was not under way", left)
		}
		if s.releases != 1 {
			t.Errorf("the lease was released %d times, want once", s.releases)
		}
	})
}

func TestAStopDoesNotWaitForABrokerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.silent = true
		s.commit(tickets("a", 2)...)
		stop := start(t, s, b)
		after(100 * time.Millisecond)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("the stop took %v, want about StopTimeout", took)
		}
		if s.releases != 1 {
			t.Errorf("the lease was released %d times, want once", s.releases)
		}
	})
}

// Case 10.24: while a machine is suspended the monotonic clock stops, and the
// lease runs out.
func TestALeaseIsNotTrustedAfterASuspend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		var slept atomic.Int64
		stop := start(t, s, b, func(o *outbox.Options) {
			o.Now = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
		})
		after(time.Second)
		slept.Store(int64(time.Hour))
		s.steal(time.Minute)
		s.commit(tickets("a", 1)...)
		after(100 * time.Millisecond) // long before the next renewal
		if got := b.ids(); len(got) > 0 {
			t.Errorf("published %v on a lease that ran out in a suspend", got)
		}
		stop()
	})
}
