package order_test

import (
	"context"
	"errors"
	"iter"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/order"
	"lockstep/replica"
	"lockstep/store/sqlite"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type fixture struct {
	*order.Service
	db    *sqlite.DB
	clock *clock
}

const ticketID = "6b0300000000000000000001"

func newFixture(t *testing.T) fixture { t.Helper(); return newFixtureOf(t, order.Options{}) }

func newFixtureOf(t *testing.T, o order.Options) fixture {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "orders.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	row := replica.Row{ID: ticketID, Version: 3, Title: "concert", Price: 20.5}
	if _, err := db.Replica().Write(t.Context(), []replica.Write{{From: event.None, Row: row}}); err != nil {
		t.Fatal(err)
	}
	c := &clock{now: time.Date(2026, 11, 23, 1, 43, 1, 630e6, time.UTC)}
	o.Now = c.Now
	return fixture{order.NewService(db.Orders(), db.OrderTickets(), o), db, c}
}

func (f fixture) reserve(t *testing.T, user string) order.View {
	t.Helper()
	v, err := f.Reserve(t.Context(), user, ticketID)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// payloads returns the events of an order.
func (f fixture) payloads(t *testing.T, id string) []string {
	t.Helper()
	records, err := f.db.Outbox().Key(t.Context(), id, event.None, 100)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range records {
		all = append(all, string(r.Subject)+" "+string(r.Payload))
	}
	return all
}

func TestReserveAnnouncesTheLock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	want := order.View{
		Order: order.Order{
			ID: v.ID, UserID: "ann", Status: order.Created, TicketID: ticketID, Price: 20.5,
			ExpiresAt: time.Date(2026, 11, 23, 1, 58, 1, 630e6, time.UTC), LockFrom: 4,
		},
		Ticket: order.Ticket{ID: ticketID, Title: "concert", Price: 20.5, Version: 3},
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	event := `order:created {"id":"` + v.ID + `","version":0,"status":"created","userId":"ann","expiresAt":"2026-11-23T01:58:01.630Z",` +
		`"ticket":{"id":"` + ticketID + `","price":20.5}}`
	if diff := cmp.Diff([]string{event}, f.payloads(t, v.ID)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestReserveIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.Reserve(t.Context(), "ann", "6b03000000000000000000ff"); !errors.Is(err, order.ErrNotFound) {
		t.Errorf("unknown ticket: %v, want ErrNotFound", err)
	}
	f.reserve(t, "ann")
	if _, err := f.Reserve(t.Context(), "bob", ticketID); !errors.Is(err, order.ErrReserved) {
		t.Errorf("reserved ticket: %v, want ErrReserved", err)
	}
	gone := replica.Row{ID: ticketID, Version: 4, Deleted: true}
	if _, err := f.db.Replica().Write(t.Context(), []replica.Write{{From: 3, Row: gone}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Reserve(t.Context(), "bob", ticketID); !errors.Is(err, order.ErrNotFound) {
		t.Errorf("deleted ticket: %v, want ErrNotFound", err)
	}
}

// Case 10.5: the store was restored from a backup. Who had the ticket may have
// paid for it.
func TestATicketLockedForALostOrderIsNotSold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	lock := func(from int64, orderID string) {
		t.Helper()
		row := replica.Row{ID: ticketID, Version: from + 1, Title: "concert", Price: 20.5, OrderID: orderID}
		if _, err := f.db.Replica().Write(t.Context(), []replica.Write{{From: from, Row: row}}); err != nil {
			t.Fatal(err)
		}
	}
	v := f.reserve(t, "ann")
	lock(3, v.ID)
	if err := f.Cancel(t.Context(), "ann", v.ID); err != nil {
		t.Fatal(err)
	}
	v = f.reserve(t, "bob") // the release is on its way
	if err := f.Cancel(t.Context(), "bob", v.ID); err != nil {
		t.Fatal(err)
	}
	lock(4, "6b0300000000000000000777")
	if _, err := f.Reserve(t.Context(), "bob", ticketID); !errors.Is(err, order.ErrReserved) {
		t.Errorf("a ticket of a lost order: %v, want ErrReserved", err)
	}
	lock(5, "")
	f.reserve(t, "bob")
}

func TestOneActiveOrderPerTicketHoweverManyTry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		wg.Go(func() {
			_, err := f.Reserve(t.Context(), "ann", ticketID)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !errors.Is(err, order.ErrReserved):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d orders for one ticket, want 1", won)
	}
}

func TestCancelIsFinalAndAnnouncedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	if err := f.Cancel(t.Context(), "bob", v.ID); !errors.Is(err, order.ErrNotOwner) {
		t.Errorf("cancel by somebody else: %v, want ErrNotOwner", err)
	}
	for range 2 {
		if err := f.Cancel(t.Context(), "ann", v.ID); err != nil {
			t.Fatal(err)
		}
	}
	events := f.payloads(t, v.ID)
	want := `order:cancelled {"id":"` + v.ID + `","version":1,"ticket":{"id":"` + ticketID + `"}}`
	if len(events) != 2 || events[1] != want {
		t.Errorf("events = %q, want the creation and %q", events, want)
	}
	f.reserve(t, "bob") // the ticket is free again
}

func TestPaidOrderStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	if got, err := f.Complete(t.Context(), event.Paid{OrderID: v.ID}); got != event.Applied || err != nil {
		t.Fatalf("Complete = %v, %v", got, err)
	}
	if err := f.Cancel(t.Context(), "ann", v.ID); !errors.Is(err, order.ErrComplete) {
		t.Errorf("cancel of a paid order: %v, want ErrComplete", err)
	}
	if got, err := f.Expire(t.Context(), event.Expired{OrderID: v.ID}); got != event.Duplicate || err != nil {
		t.Errorf("expiry of a paid order: %v, %v, want duplicate", got, err)
	}
	if _, err := f.Reserve(t.Context(), "bob", ticketID); !errors.Is(err, order.ErrReserved) {
		t.Errorf("a sold ticket: %v, want ErrReserved", err)
	}
	if got := f.payloads(t, v.ID); len(got) != 1 {
		t.Errorf("events = %q, want the creation only", got)
	}
}

func TestEventsOfUnknownOrdersAreEarly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if got, err := f.Expire(t.Context(), event.Expired{OrderID: "nope"}); got != event.Early || err != nil {
		t.Errorf("Expire = %v, %v, want early", got, err)
	}
	if got, err := f.Complete(t.Context(), event.Paid{OrderID: "nope"}); got != event.Early || err != nil {
		t.Errorf("Complete = %v, %v, want early", got, err)
	}
}

func views(seq iter.Seq2[order.View, error]) (all []order.View, err error) {
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

func TestOrdersShowTheTicketOfToday(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	dearer := replica.Row{ID: ticketID, Version: 4, Title: "concert", Price: 99}
	if _, err := f.db.Replica().Write(t.Context(), []replica.Write{{From: 3, Row: dearer}}); err != nil {
		t.Fatal(err)
	}
	mine, err := views(f.Orders(t.Context(), "ann"))
	if err != nil || len(mine) != 1 || mine[0].Ticket.Price != 99 || mine[0].Price != 20.5 {
		t.Errorf("orders = %+v, %v, want one that charges 20.5 for a ticket of 99", mine, err)
	}
	if others, err := views(f.Orders(t.Context(), "bob")); err != nil || len(others) != 0 {
		t.Errorf("orders of somebody else = %+v, %v, want none", others, err)
	}
	if _, err := f.Order(t.Context(), "bob", v.ID); !errors.Is(err, order.ErrNotOwner) {
		t.Errorf("order of somebody else: %v, want ErrNotOwner", err)
	}
}

func TestExpiryCancelsOverdueOrdersOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- order.NewExpiry(f.Service, order.ExpiryOptions{Interval: time.Millisecond, Grace: 1}).Run(ctx)
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	f.clock.pass(order.DefaultWindow - time.Millisecond)
	if got, err := f.Order(t.Context(), "ann", v.ID); err != nil || got.Status != order.Created {
		t.Fatalf("a millisecond before its end: %+v, %v, want it created", got, err)
	}
	f.clock.pass(time.Millisecond)
	until(t, "the order is cancelled", func() bool {
		got, err := f.Order(t.Context(), "ann", v.ID)
		return err == nil && got.Status == order.Cancelled
	})
	if got := f.payloads(t, v.ID); len(got) != 2 {
		t.Errorf("events = %q, want creation and cancellation", got)
	}
}

// endless are orders of which none says when it ends.
type endless struct{ order.Store }

func (s endless) Expired(ctx context.Context, now time.Time) iter.Seq2[order.Due, error] {
	return func(yield func(order.Due, error) bool) {
		for d, err := range s.Store.Expired(ctx, now.Add(time.Hour)) {
			d.ExpiresAt = time.Time{}
			if !yield(d, err) {
				return
			}
		}
	}
}

// unread are payments that nobody may read.
type unread struct{ t *testing.T }

func (p unread) CatchUp(context.Context, time.Time, func(context.Context, event.Paid) error) error {
	p.t.Error("all payments are read for an order that says nothing")
	return nil
}

// Case 10.7: nobody knows whether an order is overdue that does not say when it
// ends: it is left, and told, and the payments are not read for it.
func TestAnOrderThatDoesNotSayWhenItEndsIsLeft(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	s := order.NewService(endless{f.db.Orders()}, f.db.OrderTickets(), order.Options{Now: f.clock.Now, Payments: unread{t}})
	expiry := order.NewExpiry(s, order.ExpiryOptions{Interval: time.Millisecond, Grace: 1})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- expiry.Run(ctx) }()
	until(t, "the check tells of it", func() bool {
		err := expiry.Check()
		return err != nil && strings.HasPrefix(err.Error(), "1 overdue") && strings.Contains(err.Error(), v.ID)
	})
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got, err := f.Order(t.Context(), "ann", v.ID); err != nil || got.Status != order.Created {
		t.Errorf("order %+v, %v", got, err)
	}
}
