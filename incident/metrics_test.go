package incident_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/incident"
	"lockstep/test/spawn"
)

// uncounted is a store that cannot be asked what is open, while it is away.
type uncounted struct {
	incident.Store
	away atomic.Bool
}

func (s *uncounted) Counts(ctx context.Context) (map[incident.Cause]int, error) {
	if s.away.Load() {
		return nil, errors.New("the store is gone")
	}
	return s.Store.Counts(ctx)
}

// Case 11.10: open incidents read 0 before they were counted, and what they were
// once the store was gone.
func TestOpenIncidentsAreUnknownWhileTheyCannotBeCounted(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, s incident.Store) {
		store := &uncounted{Store: s}
		store.away.Store(true)
		reg := prometheus.NewRegistry()
		l, err := incident.New(store, incident.Options{Service: "tickets", Log: slog.New(slog.DiscardHandler), Registerer: reg})
		if err != nil {
			t.Fatal(err)
		}
		shows := func(what string, want float64) {
			t.Helper()
			spawn.Within(t, 30*time.Second, what, func() bool {
				got := openIncidents(t, reg, incident.BrokerLoss)
				return got == want || math.IsNaN(got) && math.IsNaN(want)
			})
		}
		shows("before anything began nobody knows", math.NaN())
		l.Raise(incident.BrokerLoss, "channel", "messages were lost")
		spawn.Background(t, l.Run)
		shows("without the store nobody knows", math.NaN())
		store.away.Store(false)
		shows("one is open", 1)
		store.away.Store(true)
		shows("nobody knows again", math.NaN())
	})
}

func openIncidents(t *testing.T, reg prometheus.Gatherer, cause incident.Cause) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "lockstep_incidents_open" && m.GetLabel()[0].GetValue() == string(cause) {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no gauge of %s", cause)
	return 0
}
