package order_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/order"
)

// breaking is a store that breaks off while it tells what is overdue.
type breaking struct{ order.Store }

func (breaking) Expired(context.Context, time.Time) iter.Seq2[order.Due, error] {
	return func(yield func(order.Due, error) bool) { yield(order.Due{}, errors.New("the store is gone")) }
}

// Case 11.10: overdue orders read 0 before the first look, and once the store was
// gone.
func TestOverdueOrdersAreUnknownWhileTheStoreDoesNotTell(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	reg := prometheus.NewRegistry()
	metrics := order.NewMetrics(reg)
	expiry := order.NewExpiry(f.Service, order.ExpiryOptions{Metrics: metrics})
	for _, tc := range []struct {
		what string
		look func()
		want float64
	}{
		{"before the first look", func() {
			if expiry.Check() == nil {
				t.Error("before the first look all is well")
			}
		}, math.NaN()},
		{"after a look", func() {
			if expiry.Sweep(t.Context()); expiry.Check() != nil {
				t.Errorf("after a look: %v", expiry.Check())
			}
		}, 0},
		{"after one that broke off", func() {
			gone := order.NewService(breaking{f.db.Orders()}, f.db.OrderTickets(), order.Options{})
			order.NewExpiry(gone, order.ExpiryOptions{Metrics: metrics}).Sweep(t.Context())
		}, math.NaN()},
	} {
		tc.look()
		if got := gaugeOf(t, reg, "lockstep_orders_overdue"); got != tc.want && !(math.IsNaN(got) && math.IsNaN(tc.want)) {
			t.Errorf("%s the gauge shows %v, want %v", tc.what, got, tc.want)
		}
	}
}

func gaugeOf(t *testing.T, reg prometheus.Gatherer, name string) float64 {
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
	t.Fatalf("no gauge %s", name)
	return 0
}
