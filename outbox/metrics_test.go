package outbox_test

import (
	"context"
	"errors"
	"log/slog"
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

// inspector answers Stats; the other methods are not called.
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

func TestGaugesShowWhatWaitsAndKeepTheLastFigures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		g := outbox.NewGauges(reg)
		i := &inspector{stats: outbox.Stats{Pending: 7, Oldest: time.Now(), BlockedKeys: 2}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Watch(ctx, i, time.Second, slog.New(slog.DiscardHandler)) }()
		after(90 * time.Second)
		want := `
# HELP lockstep_outbox_blocked_keys Keys whose next event has failed and waits for its retry or an operator.
# TYPE lockstep_outbox_blocked_keys gauge
lockstep_outbox_blocked_keys 2
# HELP lockstep_outbox_oldest_age_seconds Age of the oldest event that waits; 0 if none does.
# TYPE lockstep_outbox_oldest_age_seconds gauge
lockstep_outbox_oldest_age_seconds 90
# HELP lockstep_outbox_pending Events that wait to be published.
# TYPE lockstep_outbox_pending gauge
lockstep_outbox_pending 7
`
		names := []string{"lockstep_outbox_pending", "lockstep_outbox_oldest_age_seconds", "lockstep_outbox_blocked_keys"}
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
		i.down.Store(true)
		after(10 * time.Second)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch = %v, want nil after its context ended", err)
		}
	})
}
