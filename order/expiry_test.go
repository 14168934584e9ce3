package order_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"lockstep/event"
	"lockstep/order"
)

// channel is a channel of payments that can be read.
type channel struct {
	away bool
	paid []event.Paid
	from []time.Time // of each reading
	read int
}

func (c *channel) CatchUp(ctx context.Context, from time.Time, apply func(context.Context, event.Paid) error) error {
	if c.away {
		return errors.New("no connection to the broker")
	}
	c.from = append(c.from, from)
	for ; c.read < len(c.paid); c.read++ {
		if err := apply(ctx, c.paid[c.read]); err != nil {
			return err
		}
	}
	return nil
}

// TestExpiryNeverOvertakesAPayment: the payment lies on the channel and was
// not delivered. Cases 9.1 and 9.9.
func TestExpiryNeverOvertakesAPayment(t *testing.T) {
	t.Parallel()
	for name, outside := range map[string]bool{"by our clock": false, "by expiration:complete": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &channel{away: true}
			f := newFixtureOf(t, order.Options{Payments: c})
			v := f.reserve(t, "ann")
			c.paid = append(c.paid, event.Paid{OrderID: v.ID, ID: "p1"})
			f.clock.pass(order.DefaultWindow)
			reg := prometheus.NewRegistry()
			e := order.NewExpiry(f.Service, order.ExpiryOptions{Metrics: order.NewMetrics(reg)})
			expire := func() error {
				if outside {
					_, err := f.Expire(t.Context(), event.Expired{OrderID: v.ID})
					return err
				}
				e.Sweep(t.Context())
				return e.Check()
			}
			if err := expire(); err == nil || errors.Is(err, event.ErrInvalid) {
				t.Errorf("expiry without the broker: %v, want an error that is tried again", err)
			}
			if got := f.stored(t, v.ID); got.Status != order.Created {
				t.Fatalf("without the broker the order is %s, want it left alone", got.Status)
			}
			if got, err := testutil.GatherAndCount(reg, "lockstep_orders_overdue"); err != nil || got != 1 {
				t.Errorf("no gauge of overdue orders: %v", err)
			}
			c.away = false
			if err := expire(); err != nil {
				t.Errorf("expiry with the broker: %v", err)
			}
			if got := f.stored(t, v.ID); got.Status != order.Complete || got.PaidBy != "p1" {
				t.Errorf("order = %+v, want it complete by the payment", got)
			}
			if len(c.from) != 1 || c.from[0].After(v.ExpiresAt.Add(-order.DefaultWindow)) {
				t.Errorf("payments were read from %v, want once, and from before the order was made", c.from)
			}
		})
	}
}

// failing refuses what concerns some orders.
type failing struct {
	order.Store
	orders map[string]bool
}

var errLocked = errors.New("a transaction of another process holds the record")

func (s *failing) Order(ctx context.Context, id string) (order.Order, error) {
	if s.orders[id] {
		return order.Order{}, errLocked
	}
	return s.Store.Order(ctx, id)
}

// TestAPaymentThatCannotBeAppliedKeepsItsOrder: its record is locked when the
// payment is read, and free again when expiry comes to it. Case 9.1.
func TestAPaymentThatCannotBeAppliedKeepsItsOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	v := f.reserve(t, "ann")
	c := &channel{paid: []event.Paid{{OrderID: v.ID, ID: "p1"}}}
	store := &failing{f.db.Orders(), map[string]bool{v.ID: true}}
	s := order.NewService(store, f.db.OrderTickets(), order.Options{Now: f.clock.Now, Payments: c})
	e := order.NewExpiry(s, order.ExpiryOptions{})
	f.clock.pass(order.DefaultWindow)
	e.Sweep(t.Context())
	if e.Check() == nil {
		t.Error("nothing is said of the order that was left behind")
	}
	store.orders = nil
	if got, err := s.Expire(t.Context(), event.Expired{OrderID: v.ID}); got != event.Applied && got != event.Duplicate || err != nil {
		t.Errorf("Expire = %v, %v", got, err)
	}
	if got := f.stored(t, v.ID); got.Status != order.Complete {
		t.Errorf("order is %s, want it complete: its payment was read", got.Status)
	}
}

// TestOrdersThatCannotExpireHideNobody. Case 10.7.
func TestOrdersThatCannotExpireHideNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	store := &failing{f.db.Orders(), map[string]bool{}}
	for i := range 600 {
		o := order.Order{ID: pad(i), UserID: "ann", Status: order.Created, ExpiresAt: f.clock.Now().Add(time.Duration(i)), TicketID: pad(i)}
		if err := f.db.Orders().Commit(t.Context(), order.Change{Now: o}); err != nil {
			t.Fatal(err)
		}
		store.orders[o.ID] = i < 599
	}
	f.clock.pass(time.Second)
	var said strings.Builder
	e := order.NewExpiry(order.NewService(store, f.db.OrderTickets(), order.Options{Now: f.clock.Now}), order.ExpiryOptions{Log: logTo(&said)})
	for range 3 {
		e.Sweep(t.Context())
	}
	if got := f.stored(t, pad(599)); got.Status != order.Cancelled {
		t.Errorf("the order behind those that cannot expire is %s, want it cancelled", got.Status)
	}
	if err := e.Check(); err == nil || !strings.Contains(err.Error(), "599 overdue orders") || !strings.Contains(err.Error(), pad(0)) {
		t.Errorf("Check = %v, want it to count 599 orders and name one", err)
	}
	if n := strings.Count(said.String(), pad(7)); n != 1 {
		t.Errorf("an order that cannot expire is logged %d times in three looks, want once", n)
	}
}
