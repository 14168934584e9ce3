package outbox_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"lockstep/outbox"
)

func TestMetricsExistFromTheStartAndCountBySubject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b, reg := newShelf(), newBus(), prometheus.NewRegistry()
		register := func(o *outbox.Options) { o.Registerer = reg }
		stop := start(t, s, b, register)
		for name, want := range map[string]int{
			"lockstep_outbox_published_total":        4,
			"lockstep_outbox_publish_failures_total": 12,
			"lockstep_outbox_wakeups_total":          3,
			"lockstep_outbox_tail_resets_total":      2,
		} {
			if got, err := testutil.GatherAndCount(reg, name); err != nil || got != want {
				t.Errorf("%s has %d series before anything happened (%v), want %d", name, got, err, want)
			}
		}

		odd := change("x", 0)
		odd.Subject = "odd"
		b.verdict = refuse("a:1:ticket:updated")
		s.commit(append(tickets("a", 2), odd)...)
		after(100 * time.Millisecond)
		stop()
		want := `
# HELP lockstep_outbox_published_total Events that the broker has confirmed.
# TYPE lockstep_outbox_published_total counter
lockstep_outbox_published_total{subject="other"} 1
lockstep_outbox_published_total{subject="ticket:created"} 1
lockstep_outbox_published_total{subject="ticket:deleted"} 0
lockstep_outbox_published_total{subject="ticket:updated"} 0
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "lockstep_outbox_published_total"); err != nil {
			t.Error(err)
		}
		if got := total(t, reg, "lockstep_outbox_publish_failures_total"); got != 1 {
			t.Errorf("%v failed attempts are counted, want the rejected one", got)
		}
	})
}

// total sums a counter over its labels.
func total(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// inspector answers Stats and knows no record; the other methods are not called.
type inspector struct {
	outbox.Inspector
	stats outbox.Stats
	down  atomic.Bool
}

func (i *inspector) Stats(context.Context) (outbox.Stats, error) {
	if i.down.Load() {
		return outbox.Stats{}, errors.New("store unreachable")
	}
	return i.stats, nil
}

func (i *inspector) Record(context.Context, string) (outbox.Record, error) {
	if i.down.Load() {
		return outbox.Record{}, errors.New("store unreachable")
	}
	return outbox.Record{}, outbox.ErrNotFound
}

func TestGaugesShowWhatWaitsAndKeepTheLastFigures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		g := outbox.NewGauges(reg)
		if g.Check() == nil { // Case 11.10
			t.Error("an outbox that nobody has looked at is well")
		}
		i := &inspector{stats: outbox.Stats{Pending: 7, Oldest: time.Now(), BlockedKeys: 2}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Watch(ctx, i, time.Second, slog.New(slog.DiscardHandler)) }()
		after(90 * time.Second)
		want := `
# HELP lockstep_outbox_blocked_keys Keys whose next event has failed and is not published yet.
# TYPE lockstep_outbox_blocked_keys gauge
lockstep_outbox_blocked_keys 2
# HELP lockstep_outbox_oldest_age_seconds Age of the oldest event that waits, 0 if none does; negative if a clock was ahead, NaN if not known.
# TYPE lockstep_outbox_oldest_age_seconds gauge
lockstep_outbox_oldest_age_seconds 90
# HELP lockstep_outbox_pending Events that wait to be published; beyond 10,000 it may be an estimate.
# TYPE lockstep_outbox_pending gauge
lockstep_outbox_pending 7
`
		names := []string{"lockstep_outbox_pending", "lockstep_outbox_oldest_age_seconds", "lockstep_outbox_blocked_keys"}
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
		i.down.Store(true)
		after(10 * time.Second)
		want = strings.ReplaceAll(want, "age_seconds 90", "age_seconds 100") // Case 11.10: ages go on
		if g.Check() == nil {
			t.Error("the check is content although the store cannot be read")
		}
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch = %v, want nil after its context ended", err)
		}
	})
}

// Cases 10.3, 10.12 and 11.10: what is not known is no figure, and no age is
// made to look right.
func TestGaugesDoNotMakeUpFigures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		stats   outbox.Stats
		down    bool
		pending float64
		age     float64
	}{
		"never read":                  {down: true, pending: math.NaN(), age: math.NaN()},
		"counted, then found nothing": {stats: outbox.Stats{Pending: 1}, pending: 1, age: math.NaN()},
		"nothing waits":               {age: 0},
		"only what is no event":       {stats: outbox.Stats{Pending: 2, Unreadable: 2}, pending: 2, age: 0},
		"written by a clock that was ahead": {
			stats: outbox.Stats{Pending: 1, Oldest: time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)}, pending: 1, age: -3600,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which begins with the year 2000
				reg := prometheus.NewRegistry()
				g := outbox.NewGauges(reg)
				i := &inspector{stats: tc.stats}
				i.down.Store(tc.down)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- g.Watch(ctx, i, time.Hour, slog.New(slog.DiscardHandler)) }()
				synctest.Wait()
				for name, want := range map[string]float64{"lockstep_outbox_pending": tc.pending, "lockstep_outbox_oldest_age_seconds": tc.age} {
					if got := gauge(t, reg, name); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
						t.Errorf("%s is %v, want %v", name, got, want)
					}
				}
				cancel()
				<-done
			})
		})
	}
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// Case 10.13: figures that take long are read less often, and are not known
// meanwhile if the store goes.
func TestGaugesDoNotCountAllTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i, reg := &slow{}, prometheus.NewRegistry()
		g := outbox.NewGauges(reg)
		names := []string{"lockstep_outbox_pending", "lockstep_outbox_oldest_age_seconds", "lockstep_outbox_blocked_keys", "lockstep_outbox_unreadable"}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Watch(ctx, i, time.Second, slog.New(slog.DiscardHandler)) }()
		after(10 * time.Minute)
		if busy := i.looks.Load(); busy > 12 {
			t.Errorf("%d looks of a second each in ten minutes, want a fiftieth of the time", busy)
		}
		for _, name := range names {
			if got := gauge(t, reg, name); got != 0 {
				t.Errorf("%s is %v, want 0", name, got)
			}
		}
		i.down.Store(true) // Case 11.10: a 0 does not stand for what nobody knows
		after(5 * time.Second)
		for _, name := range names {
			if got := gauge(t, reg, name); !math.IsNaN(got) {
				t.Errorf("%s is %v without the store, want NaN", name, got)
			}
		}
		if g.Check() == nil {
			t.Error("the check is content although the store is gone")
		}
		cancel()
		<-done
	})
}

// slow takes a second for its figures, and is there until it is down.
type slow struct {
	inspector
	looks atomic.Int64
}

func (s *slow) Stats(context.Context) (outbox.Stats, error) {
	s.looks.Add(1)
	time.Sleep(time.Second)
	return outbox.Stats{}, nil
}

// TestAPauseShowsAsLongAsPublishingWaitsForTheBroker: also while a relay that was
// just started waits to ask what the one before it has published, and when the
// connection goes in the middle of a question. Case 11.10.
func TestAPauseShowsAsLongAsPublishingWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b, reg := newShelf(), newBus(), prometheus.NewRegistry()
		b.swallow = true
		s.commit(tickets("a", 2)...)
		stop := start(t, s, b, func(o *outbox.Options) { o.StopTimeout = time.Millisecond })
		after(time.Second)
		stop() // without an answer
		b.set(func() { b.swallow = false })
		b.cut()
		stop = start(t, s, b, func(o *outbox.Options) { o.Registerer = reg })
		shows := func(what string, want float64) {
			t.Helper()
			if got := gauge(t, reg, "lockstep_outbox_paused"); got != want {
				t.Errorf("%s the gauge shows %v, want %v", what, got, want)
			}
		}
		after(2 * ttl)
		shows("without the broker", 1)
		b.restore()
		after(time.Second)
		shows("with it", 0)
		wantEmpty(t, s)
		b.cut()
		s.commit(tickets("b", 1)...)
		after(time.Second)
		shows("without it again", 1)
		stop()
		shows("at the end", 0)
	})
}
