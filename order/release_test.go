package order_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"lockstep/event"
	"lockstep/order"
	"lockstep/replica"
)

// lockedBy puts a row into the replica that shows the ticket as locked.
func (f fixture) lockedBy(t *testing.T, orderID string) {
	t.Helper()
	row, err := f.db.Replica().Row(t.Context(), ticketID)
	if err != nil {
		t.Fatal(err)
	}
	from := row.Version
	row.Version++
	row.OrderID = orderID
	if n, err := f.db.Replica().Write(t.Context(), []replica.Write{{From: from, Row: row}}); n != 1 || err != nil {
		t.Fatalf("write row: %d, %v", n, err)
	}
}

func (f fixture) cancelled(t *testing.T) order.View {
	t.Helper()
	v := f.reserve(t, "ann")
	if err := f.Cancel(t.Context(), "ann", v.ID); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestALockLeftBehindIsReleasedAgain, later and later, a bounded number of
// times, with every version announced once; found by what was applied, and by
// looking at all. Case 9.2.
func TestALockLeftBehindIsReleasedAgain(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]bool{"seen when it was applied": false, "found after a restart": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			v := f.cancelled(t)
			f.lockedBy(t, v.ID)
			reg := prometheus.NewRegistry()
			var said strings.Builder
			var gaveUp []string
			synctest.Test(t, func(t *testing.T) {
				r := order.NewReleases(f.Service, order.ReleasesOptions{
					Metrics: order.NewMetrics(reg), Log: logTo(&said),
					OnGivenUp: func(_ context.Context, o order.Order) { gaveUp = append(gaveUp, o.ID) },
				})
				if !full {
					r.Saw(v.ID)
				}
				var at []time.Duration
				began, version := time.Now(), int64(1)
				for range 1000 {
					if err := r.Look(t.Context(), full); err != nil {
						t.Fatal(err)
					}
					if o := f.stored(t, v.ID); o.Version != version {
						at, version = append(at, time.Since(began)), o.Version
					}
					time.Sleep(time.Second)
				}
				if len(at) != 6 || at[0] != 5*time.Second || at[1] < 15*time.Second || at[5] < 315*time.Second {
					t.Errorf("released again after %v, want six times, the first after 5 s, then twice as late each time", at)
				}
			})
			events := f.payloads(t, v.ID)
			if len(events) != 8 || events[7] != `order:cancelled {"id":"`+v.ID+`","version":7,"ticket":{"id":"`+ticketID+`"}}` {
				t.Errorf("events = %q, want seven cancellations", events)
			}
			if len(gaveUp) != 1 || strings.Count(said.String(), "level=ERROR") != 1 {
				t.Errorf("gave up %v, want once, and one error in the log:\n%s", gaveUp, said.String())
			}
			if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP lockstep_orders_released_again_total Cancellations that were announced again because the ticket stayed locked.
# TYPE lockstep_orders_released_again_total counter
lockstep_orders_released_again_total 6
`), "lockstep_orders_released_again_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestALockThatIsRightOrGoneIsLeftAlone. Case 9.2.
func TestALockThatIsRightOrGoneIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, fixture) string{
		"the order is active": func(t *testing.T, f fixture) string {
			id := f.reserve(t, "ann").ID
			f.lockedBy(t, id)
			return id
		},
		"the order is paid": func(t *testing.T, f fixture) string {
			id := f.reserve(t, "ann").ID
			f.lockedBy(t, id)
			f.pay(t, id, "p")
			return id
		},
		"the lock is gone in time": func(t *testing.T, f fixture) string {
			id := f.cancelled(t).ID
			f.lockedBy(t, id)
			f.lockedBy(t, "")
			return id
		},
		"another order has the ticket": func(t *testing.T, f fixture) string {
			id := f.cancelled(t).ID
			f.lockedBy(t, id)
			f.reserve(t, "bob")
			return id
		},
		"an order of nobody": func(t *testing.T, f fixture) string {
			f.lockedBy(t, "nobody")
			return f.cancelled(t).ID
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := prepare(t, f)
			was := f.stored(t, id)
			synctest.Test(t, func(t *testing.T) {
				r := order.NewReleases(f.Service, order.ReleasesOptions{})
				for range 60 {
					r.Saw(id)
					if err := r.Look(t.Context(), true); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
			})
			if got := f.stored(t, id); got != was {
				t.Errorf("order = %+v, want it as it was: %+v", got, was)
			}
		})
	}
}

// TestAPaidOrderGetsTheLockOfADeadOne: its tickets service minds whose lock it
// is, or it does not. Case 9.2.
func TestAPaidOrderGetsTheLockOfADeadOne(t *testing.T) {
	t.Parallel()
	for name, minds := range map[string]bool{"a service that locks for whom it is told": false, "a service that minds": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			dead := f.cancelled(t)
			f.lockedBy(t, dead.ID)
			paid := f.reserve(t, "bob")
			synctest.Test(t, func(t *testing.T) {
				r := order.NewReleases(f.Service, order.ReleasesOptions{})
				for second := range 120 {
					if second == 20 {
						if got := f.stored(t, dead.ID); got.Version != 1 {
							t.Errorf("the dead order was announced while another had the ticket: %+v", got)
						}
						f.pay(t, paid.ID, "p")
					}
					if err := r.Look(t.Context(), true); err != nil {
						t.Fatal(err)
					}
					if !minds && f.stored(t, paid.ID).Version == 2 || minds && f.stored(t, dead.ID).Version == 2 {
						f.lockedBy(t, paid.ID)
					}
					time.Sleep(time.Second)
				}
			})
			want := map[bool]int64{false: 1, true: 2}[minds]
			if got := f.stored(t, dead.ID); got.Version != want {
				t.Errorf("the dead order is at version %d, want %d", got.Version, want)
			}
			if got := f.stored(t, paid.ID); got.Status != order.Complete || got.PaidBy != "p" || got.Version != want+1 {
				t.Errorf("order = %+v, want it complete by p at version %d", got, want+1)
			}
			events := f.payloads(t, paid.ID)
			if len(events) < 2 || !strings.HasPrefix(events[1], `order:created {"id":"`+paid.ID+`","version":2,`) {
				t.Errorf("events = %q, want the lock announced again", events)
			}
		})
	}
}

// TestAPaymentAfterReleasesStillLocksAgain: the versions go on. Case 9.2.
func TestAPaymentAfterReleasesStillLocksAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.cancelled(t)
	f.lockedBy(t, v.ID)
	synctest.Test(t, func(t *testing.T) {
		r := order.NewReleases(f.Service, order.ReleasesOptions{})
		for range 6 {
			if err := r.Look(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
	})
	if got := f.pay(t, v.ID, "p"); got != event.Applied {
		t.Errorf("payment: %v, want applied", got)
	}
	if events := f.payloads(t, v.ID); len(events) != 4 || !strings.HasPrefix(events[3], `order:created {"id":"`+v.ID+`","version":3,`) {
		t.Errorf("events = %q, want the lock announced with version 3", events)
	}
}
