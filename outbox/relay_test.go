package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/outbox"
)

// change returns the event of one version of a ticket.
func change(key string, version int64) event.Event {
	subject := event.TicketUpdated
	if version == event.First {
		subject = event.TicketCreated
	}
	return event.Event{
		Key: key, Version: version, Subject: subject, OccurredAt: time.Now(),
		Payload: fmt.Appendf(nil, `{"id":%q,"version":%d}`, key, version),
	}
}

// tickets returns the events of versions 0 to n-1.
func tickets(key string, n int) []event.Event {
	var all []event.Event
	for v := range n {
		all = append(all, change(key, int64(v)))
	}
	return all
}

// store is all that a relay needs of one.
type store interface {
	outbox.Store
	outbox.Leases
}

// start runs a relay until the returned function is called, which waits for
// its end.
func start(t *testing.T, s store, p outbox.Publisher, change ...func(*outbox.Options)) (stop func()) {
	t.Helper()
	opts := outbox.Options{Subjects: event.TicketSubjects(), Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&opts)
	}
	relay, err := outbox.NewRelay(s, s, p, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil after a stop", err)
		}
	}
}

// after lets time pass in a bubble.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantEmpty(t *testing.T, s *shelf) {
	t.Helper()
	if left := s.waiting(); len(left) > 0 {
		t.Errorf("%d events are left in the outbox, the first is %s; want none", len(left), left[0].ID())
	}
}

func wantStored(t *testing.T, b *bus, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, b.ids()); diff != "" {
		t.Errorf("events at the broker (-want +got):\n%s", diff)
	}
}

func TestPublishesBacklogAndCommitsInOrderAndDeletesThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		s.commit(tickets("a", 3)...)
		stop := start(t, s, b)
		after(time.Second)
		s.commit(change("a", 3), change("a", 4))
		after(time.Second)
		stop()
		wantStored(t, b, "a:0:ticket:created", "a:1:ticket:updated", "a:2:ticket:updated", "a:3:ticket:updated", "a:4:ticket:updated")
		wantEmpty(t, s)
	})
}

func TestKeepsOneEventOfAKeyAndAWindowOfAllUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		for i := range 40 {
			s.commit(tickets(fmt.Sprint("k", i), 5)...)
		}
		stop := start(t, s, b, func(o *outbox.Options) { o.Window = 16 })
		after(time.Second)
		stop()
		wantEmpty(t, s)
		if b.overlap || b.most != 16 {
			t.Errorf("%d events under way at most, two of one key: %t; want 16 and never two of a key", b.most, b.overlap)
		}
	})
}

func TestAHotKeyLeavesTheOthersTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		s.commit(tickets("hot", 500)...)
		for i := range 50 {
			s.commit(change(fmt.Sprint("k", i), 0))
		}
		stop := start(t, s, b, func(o *outbox.Options) { o.Window, o.PerKey = 2, 4 })
		after(2 * time.Second)
		stop()
		wantEmpty(t, s)
		last := 0
		for i, id := range b.ids() {
			if strings.HasPrefix(id, "k") {
				last = i
			}
		}
		if last > 150 {
			t.Errorf("the last of 50 other keys was published as number %d, behind most of the hot key", last)
		}
	})
}

func TestHoldsABoundedPartOfABacklogInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		b.silent = true
		for i := range 2000 {
			s.commit(tickets(fmt.Sprint("k", i), 2)...)
		}
		stop := start(t, s, b, func(o *outbox.Options) { o.Window, o.MemoryLimit, o.StopTimeout = 10, 100, time.Second })
		after(time.Minute)
		s.set(func() {
			if s.scanned > 130 { // the limit, the page that crosses it and the page that waits
				t.Errorf("%d of 4000 events were read while the broker was silent, want a bounded part", s.scanned)
			}
		})
		b.set(func() { b.silent = false })
		b.cut()
		b.restore()
		after(time.Minute)
		stop()
		wantEmpty(t, s)
	})
}

func TestRescansWhenTheTailIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		stop := start(t, s, b)
		after(time.Second)
		s.set(func() { s.deaf = true })
		s.commit(tickets("a", 2)...)
		after(5 * time.Second)
		if got := b.ids(); len(got) > 0 {
			t.Fatalf("published %v, want the wake-up missed", got)
		}
		s.set(func() { s.lost = true })
		after(3 * time.Second)
		wantStored(t, b, "a:0:ticket:created", "a:1:ticket:updated")
		stop()
		wantEmpty(t, s)
	})
}

func TestTheSweepFindsWhatNoWakeUpReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newShelf(), newBus()
		s.deaf = true
		stop := start(t, s, b)
		after(time.Second)
		s.commit(tickets("a", 3)...)
		after(time.Minute)
		stop()
		wantStored(t, b, "a:0:ticket:created", "a:1:ticket:updated", "a:2:ticket:updated")
		wantEmpty(t, s)
	})
}

func TestNewRelayNamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := outbox.NewRelay(nil, nil, nil, outbox.Options{
		Window: -1, LeaseTTL: time.Millisecond, Backoff: outbox.Backoff{Factor: 0.5, Base: time.Hour},
	})
	if err == nil {
		t.Fatal("NewRelay accepted nothing at all")
	}
	for _, want := range []string{"store, leases and publisher", "Window", "LeaseTTL", "Backoff.Factor", "Backoff.Cap"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	if errors.Unwrap(err) == nil {
		t.Errorf("error %q wraps nothing", err)
	}
}
