package order_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
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
				r := order.NewLockWatch(f.Service, order.LockWatchOptions{
					Metrics: order.NewMetrics(reg), Log: logTo(&said),
					OnGivenUp: func(_ context.Context, o order.Order) { gaveUp = append(gaveUp, o.ID) },
				})
				if !full {
					r.Saw(ticketID)
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
# HELP lockstep_orders_announced_again_total Orders that were announced again: cancelled ones whose ticket stayed locked, and paid ones whose ticket was not locked.
# TYPE lockstep_orders_announced_again_total counter
lockstep_orders_announced_again_total{subject="order:cancelled"} 6
lockstep_orders_announced_again_total{subject="order:created"} 0
`), "lockstep_orders_announced_again_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestALockIsLeftAlone where it is right, and where announcing an order again
// would do harm or cannot help. Case 9.2.
func TestALockIsLeftAlone(t *testing.T) {
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
		"a paid order has the ticket that a dead one holds since before": func(t *testing.T, f fixture) string {
			dead := f.cancelled(t)
			f.lockedBy(t, dead.ID)
			f.pay(t, f.reserve(t, "bob").ID, "p")
			return dead.ID
		},
		"the order is not paid and has lost its lock": func(t *testing.T, f fixture) string {
			id := f.reserve(t, "ann").ID
			f.lockedBy(t, id)
			f.lockedBy(t, "")
			return id
		},
		"the tickets service has not come to the paid order yet": func(t *testing.T, f fixture) string {
			id := f.reserve(t, "ann").ID
			f.pay(t, id, "p")
			return id
		},
		"nor to one that was paid after its cancellation": func(t *testing.T, f fixture) string {
			id := f.reserve(t, "ann").ID
			f.lockedBy(t, id)
			if err := f.Cancel(t.Context(), "ann", id); err != nil {
				t.Fatal(err)
			}
			f.lockedBy(t, "")
			f.pay(t, id, "p")
			return id
		},
		"Node's orders sold it, whose replica has no locks": func(t *testing.T, f fixture) string {
			o := order.Order{ID: pad(1), UserID: "ann", Status: order.Complete, ExpiresAt: f.clock.Now(), TicketID: ticketID, Price: 20.5, Version: 1}
			if err := f.db.Orders().Commit(t.Context(), order.Change{Now: o}); err != nil {
				t.Fatal(err)
			}
			return o.ID
		},
		"an order of nobody": func(t *testing.T, f fixture) string {
			id := f.cancelled(t).ID
			f.lockedBy(t, "nobody")
			return id
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := prepare(t, f)
			was := f.stored(t, id)
			synctest.Test(t, func(t *testing.T) {
				r := order.NewLockWatch(f.Service, order.LockWatchOptions{})
				for range 60 {
					r.Saw(ticketID)
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

// TestAPaidOrderThatLostItsLockIsAnnouncedAgain once it is paid and the loss is
// no passing one, as often as the tickets service loses it again, but no more
// often than an order is announced; found when it is paid, and by looking at all.
// Beside a release that is given twice, a service may lock late for a dead
// order. Case 9.
func TestAPaidOrderThatLostItsLockIsAnnouncedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		full     bool // look at all, as at start; else at what was seen
		lateLock bool // the lock of a dead order, else none
		deaf     bool // the tickets service changes the ticket and never locks it
		want     []time.Duration
	}{
		"released twice, seen when it was paid":   {want: []time.Duration{10 * time.Second}},
		"released twice, found by looking at all": {full: true, want: []time.Duration{10 * time.Second}},
		"locked late for a dead order":            {lateLock: true, want: []time.Duration{10 * time.Second}},
		"a service that never keeps it": {deaf: true, want: []time.Duration{
			10 * time.Second, 31 * time.Second, 72 * time.Second, 153 * time.Second, 314 * time.Second, 635 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			holder := ""
			if dead := f.cancelled(t); c.lateLock {
				holder = dead.ID
			}
			paid := f.reserve(t, "bob")
			f.lockedBy(t, paid.ID)
			f.lockedBy(t, holder)
			var gaveUp []string
			synctest.Test(t, func(t *testing.T) {
				r := order.NewLockWatch(f.Service, order.LockWatchOptions{
					OnGivenUp: func(_ context.Context, o order.Order) { gaveUp = append(gaveUp, o.ID) },
				})
				for range 20 {
					time.Sleep(time.Second)
					if err := r.Look(t.Context(), true); err != nil {
						t.Fatal(err)
					}
				}
				f.pay(t, paid.ID, "p") // not before
				var at []time.Duration
				began, version := time.Now(), int64(1)
				for range 3000 {
					if err := r.Look(t.Context(), c.full); err != nil {
						t.Fatal(err)
					}
					if o := f.stored(t, paid.ID); o.Version != version {
						at, version = append(at, time.Since(began)), o.Version
						f.lockedBy(t, map[bool]string{true: holder, false: paid.ID}[c.deaf])
					}
					time.Sleep(time.Second)
				}
				if diff := cmp.Diff(c.want, at); diff != "" {
					t.Errorf("announced again after (-want +got):\n%s", diff)
				}
			})
			got := f.stored(t, paid.ID)
			if got.Status != order.Complete || got.PaidBy != "p" {
				t.Errorf("order = %+v, want it complete by p", got)
			}
			events := f.payloads(t, paid.ID)
			if len(events) != 1+len(c.want) || !strings.HasPrefix(events[1], `order:created {"id":"`+paid.ID+`","version":2,`) {
				t.Errorf("events = %q, want the order and %d more announcements of it", events, len(c.want))
			}
			if c.deaf != (len(gaveUp) == 1) {
				t.Errorf("gave up %v", gaveUp)
			}
		})
	}
}

// TestALockIsLookedAtWhenItsOrderIsCancelled: a tickets service that loses the
// release changes nothing that could be seen. Case 9.2.
func TestALockIsLookedAtWhenItsOrderIsCancelled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	f.lockedBy(t, v.ID)
	synctest.Test(t, func(t *testing.T) {
		w := order.NewLockWatch(f.Service, order.LockWatchOptions{})
		if err := f.Cancel(t.Context(), "ann", v.ID); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := w.Look(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
	})
	if events := f.payloads(t, v.ID); len(events) != 3 || !strings.HasPrefix(events[2], `order:cancelled {"id":"`+v.ID+`","version":2,`) {
		t.Errorf("events = %q, want the cancellation announced again", events)
	}
}

type unused interface{ order.Tickets }

// slowTickets are two pages of tickets that take some time each.
type slowTickets struct {
	unused
	page  time.Duration
	looks int // at all of them
}

func (s *slowTickets) TicketIDs(_ context.Context, after string, _ int) ([]string, error) {
	time.Sleep(s.page)
	if after != "" {
		return nil, nil
	}
	s.looks++
	return []string{ticketID}, nil
}

func (s *slowTickets) Locks(context.Context, []string) ([]order.Lock, error) { return nil, nil }

// TestLookingAtAllTicketsTakesAHundredthOfTheTime at most, however many there are,
// and is done once a minute while that is less. Case 11.4.
func TestLookingAtAllTicketsTakesAHundredthOfTheTime(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]int{0: 60, 200 * time.Millisecond: 60, 2 * time.Second: 18, time.Minute: 1} {
		t.Run(took.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour-time.Second)
				defer cancel()
				s := &slowTickets{page: took / 2}
				w := order.NewLockWatch(order.NewService(nil, s, order.Options{}), order.LockWatchOptions{})
				if err := w.Run(ctx); err != nil || s.looks != want {
					t.Errorf("%d looks in an hour, %v; want %d", s.looks, err, want)
				}
			})
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
		r := order.NewLockWatch(f.Service, order.LockWatchOptions{})
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
