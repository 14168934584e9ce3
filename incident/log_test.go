package incident_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"lockstep/incident"
)

// Case 9.12: once per cause, and once more when it is over, whoever raises it.
func TestOneIncidentIsToldTwiceByThreeProcesses(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s incident.Store) {
		r := newReceiver(t)
		var logs []*incident.Log
		for range 3 {
			l, _ := run(t, s, r.webhook(t))
			logs = append(logs, l)
		}
		const raises = 10
		for range raises {
			for _, l := range logs {
				l.Raise(incident.BrokerLoss, "ticket:created", "messages 3 to 9 are lost: lockstep replica verify")
			}
		}
		until(t, "every raise is counted", func() bool { all := listed(t, s); return len(all) == 1 && all[0].Count == 3*raises })
		until(t, "people were told", func() bool { return listed(t, s)[0].Told == incident.ToldOpen })
		for _, l := range logs {
			l.Resolve(incident.BrokerLoss, "ticket:created", "compared")
			l.Resolve(incident.BrokerLoss, "another", "compared") // was never raised
		}
		until(t, "people were told of the end", func() bool { return listed(t, s)[0].Told == incident.ToldOver })
		if got := r.statuses(); !slices.Equal(got, []string{"open", "over"}) {
			t.Errorf("told %v, want the beginning and the end, once each", got)
		}
		if all := listed(t, s); len(all) != 1 || all[0].Open() || all[0].Ending != "compared" {
			t.Errorf("recorded %+v, want one that is over", all)
		}

		logs[1].Raise(incident.BrokerLoss, "ticket:created", "again")
		until(t, "the next opening is told", func() bool { return len(r.statuses()) == 3 })
		if all := listed(t, s); len(all) != 2 {
			t.Errorf("%d records, want one for each opening", len(all))
		}
	})
}

// Case 9.12: what was recorded is told by the next process.
func TestWhatWasRecordedIsToldAfterARestart(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s incident.Store) {
		silent, stop := run(t, s, nil)
		silent.Raise(incident.EventUnpublished, "a:1:s", "do something")
		stop() // what was raised until then is recorded
		if all := listed(t, s); len(all) != 1 || all[0].Told != incident.ToldNothing {
			t.Fatalf("recorded %+v, want one that nobody was told of", all)
		}
		r := newReceiver(t)
		run(t, s, r.webhook(t))
		until(t, "people were told", func() bool { return slices.Equal(r.statuses(), []string{"open"}) })
	})
}

// Case 10.12: whatever time a clock that was ahead has set it down for.
func TestANoticeOfAClockAheadIsToldNow(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s incident.Store) {
		silent, stop := run(t, s, nil)
		silent.Raise(incident.EventUnpublished, "a:1:s", "do something")
		stop()
		ahead := listed(t, s)[0]
		ahead.NotifyAt = time.Now().Add(24 * time.Hour)
		if err := s.Write(t.Context(), ahead); err != nil {
			t.Fatal(err)
		}
		r := newReceiver(t)
		run(t, s, r.webhook(t))
		until(t, "people were told", func() bool { return slices.Equal(r.statuses(), []string{"open"}) })
	})
}

// Case 9.12: an operator closes what nothing else can see the end of.
func TestAnOperatorClosesAnIncident(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s incident.Store) {
		r := newReceiver(t)
		l, _ := run(t, s, r.webhook(t))
		l.Raise(incident.BrokerLoss, "payment:created", "lost")
		until(t, "it is told", func() bool { return len(r.posts()) == 1 })
		id := listed(t, s)[0].ID
		for range 2 {
			if err := l.Close(t.Context(), id, "closed by an operator"); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(t.Context(), "unknown", ""); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("close of an unknown one: %v, want ErrNotFound", err)
		}
		until(t, "the end is told", func() bool { return slices.Equal(r.statuses(), []string{"open", "over"}) })
		if known, err := l.Known(t.Context(), incident.BrokerLoss, "payment:created"); err != nil || !known {
			t.Errorf("known %v, %v, want what is over to be known", known, err)
		}
	})
}

// Case 9.12: if the store is what stopped, people are told from memory, once,
// and it is recorded when the store is back.
func TestAStoreThatRefusesDoesNotKeepPeopleFromBeingTold(t *testing.T) {
	t.Parallel()
	for name, sick := range map[string]func(context.Context) error{
		"refuses": func(context.Context) error { return errors.New("disk full") },
		"hangs":   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, n := newShelf(), &notifier{}
				s.set(sick)
				l, stop := run(t, s, n)
				for range 3 {
					l.Raise(incident.StoreStopped, "store", "the disk is full")
				}
				l.Raise(incident.QuarantineGrown, "quarantine", "too many")
				time.Sleep(time.Minute)
				n.wants(t, "open quarantine", "open store")
				s.set(nil)
				time.Sleep(10 * time.Second)
				l.Resolve(incident.StoreStopped, "store", "back")
				time.Sleep(time.Minute)
				n.wants(t, "open quarantine", "open store", "over store")
				var counts []int
				for _, i := range listed(t, s) {
					counts = append(counts, i.Count)
				}
				if slices.Sort(counts); !slices.Equal(counts, []int{1, 3}) {
					t.Errorf("recorded %v raises, want all of them", counts)
				}
				stop()
			})
		})
	}
}

// blocked is a notifier that is cut off in its first notice.
type blocked chan struct{}

func (b blocked) Notify(ctx context.Context, _ []incident.Incident) error {
	close(b)
	<-ctx.Done()
	return ctx.Err()
}

// TestWhatIsBeingToldAtAStopIsRecorded, so that the next start tells it. Case 9.12.
func TestWhatIsBeingToldAtAStopIsRecorded(t *testing.T) {
	t.Parallel()
	store, telling := newShelf(), make(blocked)
	store.set(func(context.Context) error { return errors.New("read only") })
	l, stop := run(t, store, telling)
	l.Raise(incident.StoreStopped, "store", "it takes no more writes")
	<-telling
	store.set(nil)
	stop()
	if all := listed(t, store); len(all) != 1 || all[0].NotifyAt.IsZero() {
		t.Errorf("recorded: %+v, want the incident, to be told", all)
	}
}

// Case 9.12: raising never waits.
func TestRaisingNeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.set(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		l, stop := run(t, s, &notifier{failing: errors.New("down"), takes: 10 * time.Second})
		began := time.Now()
		for i := range 20_000 { // more than there is room for
			l.Raise(incident.EventUnpublished, fmt.Sprint("event ", i), "do something")
			l.Resolve(incident.EventUnpublished, "another", "")
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("raising took %v", took)
		}
		stop()
	})
}

// Case 9.12: retried with back-off, bounded.
func TestANoticeIsTriedAgainLaterAndLaterAndGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := newShelf(), &notifier{failing: errors.New("down")}
		l, stop := run(t, s, n)
		l.Raise(incident.BrokerLoss, "c", "lost")
		time.Sleep(72 * time.Hour)
		stop()
		if got := len(n.at); got != 100 {
			t.Errorf("tried %d times, want 100", got)
		}
		for i, pause := range []time.Duration{1, 2, 4, 8, 16} {
			pause *= time.Second
			if gap := n.at[i+1].Sub(n.at[i]); gap < pause/2 || gap > pause+3*time.Second {
				t.Errorf("try %d came after %v, want about %v", i+2, gap, pause)
			}
		}
		if gap := n.at[60].Sub(n.at[59]); gap < 7*time.Minute || gap > 16*time.Minute {
			t.Errorf("a late try came after %v, want a quarter of an hour at most", gap)
		}
		if all := listed(t, s); !all[0].NotifyAt.IsZero() || !all[0].Open() {
			t.Errorf("%+v, want it open and no notice due", all[0])
		}
	})
}

// Case 9.12: what ended long before anybody could be told is no news.
func TestOldNewsIsNotTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		l, stop := run(t, s, nil)
		l.Raise(incident.BrokerLoss, "over", "lost")
		l.Raise(incident.BrokerLoss, "open", "lost")
		synctest.Wait()
		l.Resolve(incident.BrokerLoss, "over", "compared")
		time.Sleep(25 * time.Hour)
		stop()
		n := &notifier{}
		_, stop = run(t, s, n)
		time.Sleep(time.Minute)
		stop()
		n.wants(t, "open open")
	})
}

// Case 9.12: a crowd of incidents is a few notifications.
func TestACrowdIsToldInFewNotifications(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, n := newShelf(), &notifier{}
		l, stop := run(t, s, n)
		for i := range 1000 {
			l.Raise(incident.EventUnpublished, fmt.Sprint("event ", i), "do something")
		}
		time.Sleep(time.Minute)
		stop()
		if got := len(n.told); got != 1000 {
			t.Errorf("%d incidents were told, want 1000", got)
		}
		if got := len(n.at); got > 20 {
			t.Errorf("%d notifications for 1000 incidents", got)
		}
	})
}

// Case 9.12: text from elsewhere cannot mention, link or forge lines.
func TestTextFromElsewhereIsNeutral(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		l, stop := run(t, s, nil)
		l.Raise(incident.EventUnpublished, "x", "<!channel> <https://evil|click>\nlevel=ERROR \x1b[31m\u202e\u009b\u200b\xff"+strings.Repeat("y", 5000))
		time.Sleep(time.Second)
		stop()
		got := listed(t, s)[0].Summary
		if strings.ContainsAny(got, "<>\n\x1b\u202e\u009b\u200b") || !utf8.ValidString(got) || len(got) > 1010 {
			t.Errorf("summary %q", got)
		}
	})
}

// notifier takes what it is told, unless it is failing.
type notifier struct {
	failing error
	takes   time.Duration

	mu   sync.Mutex
	told []string
	at   []time.Time
}

func (n *notifier) Notify(_ context.Context, due []incident.Incident) error {
	time.Sleep(n.takes)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at = append(n.at, time.Now())
	if n.failing != nil {
		return n.failing
	}
	for _, i := range due {
		status := "open "
		if i.Told == incident.ToldOpen {
			status = "over "
		}
		n.told = append(n.told, status+i.Subject)
	}
	return nil
}

func (n *notifier) wants(t *testing.T, want ...string) {
	t.Helper()
	n.mu.Lock()
	got := slices.Clone(n.told)
	n.mu.Unlock()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// Case 9.12: a receiver that fails, redirects or hangs is tried until it takes
// the notice, and nobody else gets it.
func TestAReceiverThatFailsGetsItLater(t *testing.T) {
	t.Parallel()
	elsewhere := newReceiver(t)
	for name, answer := range map[string]http.HandlerFunc{
		"fails": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"redirects": func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"hangs": func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachEngine(t, func(t *testing.T, s incident.Store) {
				r := newReceiver(t)
				var tries atomic.Int32
				r.answers(func(w http.ResponseWriter, q *http.Request) {
					if tries.Add(1) <= 2 {
						answer(w, q)
					}
				})
				w := r.webhook(t)
				w.SetWait(time.Second)
				l, _ := run(t, s, w)
				l.Raise(incident.BrokerLoss, "c", "lost")
				until(t, "it is told", func() bool { all := listed(t, s); return len(all) == 1 && all[0].Told == incident.ToldOpen })
				posts := r.posts()
				if len(posts) != 3 {
					t.Fatalf("%d tries, want 3", len(posts))
				}
				for _, p := range posts[1:] {
					if p.header.Get("Idempotency-Key") != posts[0].header.Get("Idempotency-Key") {
						t.Error("a repeated notice has another Idempotency-Key")
					}
				}
			})
		})
	}
	t.Cleanup(func() {
		if n := len(elsewhere.posts()); n > 0 {
			t.Errorf("%d notices followed a redirect", n)
		}
	})
}

// contested are incidents of which one cannot be written, as beside an open one
// of its key that cannot be read.
type contested struct {
	incident.Store
	subject string
}

func (s contested) Write(ctx context.Context, i incident.Incident) error {
	if i.Subject == s.subject {
		return incident.ErrConflict
	}
	return s.Store.Write(ctx, i)
}

// Case 10.7: one incident that cannot be recorded keeps no other from it.
func TestAnIncidentInConflictKeepsNoOtherBack(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s incident.Store) {
		r := newReceiver(t)
		l, _ := run(t, contested{s, "a:1:s"}, r.webhook(t))
		l.Raise(incident.EventUnpublished, "a:1:s", "do something")
		until(t, "it is told from memory", func() bool { return len(r.posts()) > 0 })
		l.Raise(incident.EventUnpublished, "b:1:s", "do something")
		until(t, "the next one is recorded", func() bool { return len(listed(t, s)) == 1 })
	})
}
