package order_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"pgregory.net/rapid"

	"lockstep/event"
	"lockstep/order"
	"lockstep/replica"
	"lockstep/store/sqlite"
	"lockstep/ticket"
)

// world is an orders service on a real store, with buyers, a payments service,
// a clock, and everything that goes wrong.
type world struct {
	*rapid.T
	dir     string
	db      *sqlite.DB
	store   *flaky
	clock   *clock
	bus     []event.Paid // payment:created, in the order of the channel
	away    bool         // the broker
	service *order.Service
	expiry  *order.Expiry
	orders  []string
	paidFor map[string]bool // orders with a payment on the bus
	told    map[string]int  // refunds, by id
	locks   *order.LockWatch
	heard   map[string]bool // events that Node's tickets service had, by id
	givenUp map[string]bool // orders whose lock stays wrong
}

var raced = []string{"6b0300000000000000000001", "6b0300000000000000000002"}

// flaky is a store in which records can be locked and during whose commits the
// process can die.
type flaky struct {
	order.Store
	locked map[string]bool // by order: true if only for its payments
	dies   string          // "before" or "after" the next commit
}

var errDied = errors.New("the process died")

func (s *flaky) Commit(ctx context.Context, c order.Change) error {
	id := c.Now.ID
	if c.Payment != nil {
		id = c.Payment.OrderID
	}
	if onlyPayments, locked := s.locked[id]; locked && (!onlyPayments || c.Payment != nil) {
		return errLocked
	}
	dies := s.dies
	s.dies = ""
	if dies == "before" {
		return errDied
	}
	err := s.Store.Commit(ctx, c)
	if dies == "after" && err == nil {
		return errDied
	}
	return err
}

// reader reads the bus as a new process does.
type reader struct {
	w    *world
	read int
}

func (r *reader) CatchUp(ctx context.Context, _ time.Time, apply func(context.Context, event.Paid) error) error {
	if r.w.away {
		return errors.New("no connection to the broker")
	}
	for ; r.read < len(r.w.bus); r.read++ {
		if err := apply(ctx, r.w.bus[r.read]); err != nil {
			return err
		}
	}
	return nil
}

func newOrderWorld(t *rapid.T) *world {
	dir, err := os.MkdirTemp("", "orders")
	w := &world{
		T: t, dir: dir, clock: &clock{now: time.Date(2026, 11, 23, 1, 43, 1, 630e6, time.UTC)},
		paidFor: map[string]bool{}, told: map[string]int{}, heard: map[string]bool{}, givenUp: map[string]bool{},
	}
	w.fine(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w.db = w.open("orders.db")
	for _, id := range raced {
		_, err := w.db.Replica().Write(w.Context(), []replica.Write{{From: event.None, Row: replica.Row{ID: id, Title: "concert", Price: 20.5}}})
		w.fine(err)
	}
	w.store = &flaky{Store: w.db.Orders(), locked: map[string]bool{}}
	w.restart()
	return w
}

func (w *world) open(name string) *sqlite.DB {
	db, err := sqlite.Open(w.Context(), filepath.Join(w.dir, name), sqlite.Options{})
	w.fine(err)
	w.Cleanup(func() { _ = db.Close() })
	return db
}

// fine ends the history on an error that nothing in it explains.
func (w *world) fine(err error) {
	if err != nil {
		w.Fatal(err)
	}
}

// explained is an error that the history itself brought about.
func (w *world) explained(err error) {
	if err != nil && !errors.Is(err, errLocked) && !errors.Is(err, errDied) && !w.away {
		w.Fatal(err)
	}
}

// restart is a kill and a start: what a process remembers is gone.
func (w *world) restart() {
	w.store.dies = ""
	w.service = order.NewService(w.store, w.db.OrderTickets(), order.Options{
		Now: w.clock.Now, Payments: &reader{w: w}, NewID: func() string { return pad(len(w.orders) + 1) },
		OnRefund: func(_ context.Context, p order.Payment) { w.told[p.ID()]++ },
	})
	w.expiry = order.NewExpiry(w.service, order.ExpiryOptions{})
	w.locks = order.NewLockWatch(w.service, order.LockWatchOptions{
		First: 1, OnGivenUp: func(_ context.Context, o order.Order) { w.givenUp[o.ID] = true },
	})
}

func (w *world) reserve() {
	id := rapid.SampledFrom(raced).Draw(w.T, "ticket")
	v, err := w.service.Reserve(w.Context(), "ann", id)
	if err == nil || errors.Is(err, errDied) {
		w.orders = append(w.orders, pad(len(w.orders)+1))
	}
	if err == nil && v.ID != pad(len(w.orders)) {
		w.Fatalf("order %s, want %s", v.ID, pad(len(w.orders)))
	}
	if !errors.Is(err, order.ErrReserved) {
		w.explained(err)
	}
}

func (w *world) order() string {
	if len(w.orders) == 0 {
		w.Skip("no order yet")
	}
	return rapid.SampledFrom(w.orders).Draw(w.T, "order")
}

func (w *world) pay() {
	id := w.order()
	w.paidFor[id] = true
	w.bus = append(w.bus, event.Paid{ID: fmt.Sprint("p", len(w.bus)), OrderID: id, StripeID: "ch"})
}

func (w *world) payment() event.Paid {
	if len(w.bus) == 0 {
		w.Skip("no payment yet")
	}
	return rapid.SampledFrom(w.bus).Draw(w.T, "payment")
}

func (w *world) payAgain() { w.bus = append(w.bus, w.payment()) }

func (w *world) deliver() {
	_, err := w.service.Complete(w.Context(), w.payment())
	w.explained(err)
}

func (w *world) cancel() {
	err := w.service.Cancel(w.Context(), "ann", w.order())
	if !errors.Is(err, order.ErrComplete) && !errors.Is(err, order.ErrNotFound) {
		w.explained(err)
	}
}

func (w *world) sweep() { w.expiring(func() { w.expiry.Sweep(w.Context()) }) }

func (w *world) expireOutside() {
	id := w.order()
	w.expiring(func() {
		_, err := w.service.Expire(w.Context(), event.Expired{OrderID: id})
		w.explained(ignoreOwed(err))
	})
}

// ignoreOwed drops the error that says an order's payment is not applied yet.
func ignoreOwed(err error) error {
	if err != nil && order.IsOwed(err) {
		return nil
	}
	return err
}

// expiring holds an expiry to its rule: what it cancels was not paid.
func (w *world) expiring(expire func()) {
	before := w.stored()
	expire()
	for id, o := range w.stored() {
		if o.Status == order.Cancelled && before[id].Status == order.Created && w.paidFor[id] {
			w.Fatalf("order %s was cancelled for its time, and its payment is on the bus", id)
		}
	}
}

// dying lets the process die in the middle of something.
func (w *world) dying() {
	w.store.dies = rapid.SampledFrom([]string{"before", "after"}).Draw(w.T, "dies")
	rapid.SampledFrom([]func(){w.reserve, w.deliver, w.cancel, w.sweep, w.expireOutside, w.look}).Draw(w.T, "in")()
	w.restart()
}

func (w *world) stored() map[string]order.Order {
	page, err := w.db.Orders().Page(w.Context(), "", 1000)
	w.fine(err)
	all := map[string]order.Order{}
	for _, o := range page {
		all[o.ID] = o
	}
	return all
}

// active returns the active order of each ticket, of which there is one at
// most.
func (w *world) active() map[string]string {
	active := map[string]string{}
	for id, o := range w.stored() {
		if !slices.Contains(order.Active(), o.Status) {
			continue
		}
		if other := active[o.TicketID]; other != "" {
			w.Fatalf("ticket %s has the active orders %s and %s", o.TicketID, other, id)
		}
		active[o.TicketID] = id
	}
	return active
}

// settle lets everything be delivered and looks at how it ended.
func (w *world) settle() {
	w.away, w.store.locked = false, nil
	w.restart()
	for _, p := range rapid.Permutation(slices.Clone(w.bus)).Draw(w.T, "deliveries") {
		_, err := w.service.Complete(w.Context(), p)
		w.fine(err)
	}
	w.checkPayments()
	w.settleLocks()
	w.checkLocks(w.checkEvents())
}

// checkPayments: a payment is the one its order is complete by, or a refund.
func (w *world) checkPayments() {
	stored := w.stored()
	refunds, err := w.db.Orders().Refunds(w.Context(), true, "", 1000)
	w.fine(err)
	given := map[string]bool{}
	for _, r := range refunds {
		given[r.ID()] = true
	}
	for _, p := range w.bus {
		o, known := stored[p.OrderID]
		id := order.PaymentKey(p.OrderID, p.ID)
		if completes := o.Status == order.Complete && o.PaidBy == p.ID; known && completes == given[id] {
			w.Fatalf("payment %s: completes its order %v, to be given back %v; order %+v", id, completes, given[id], o)
		}
	}
	for id, n := range w.told {
		if !given[id] || n > 1 {
			w.Fatalf("refund %s was told of %d times, recorded %v", id, n, given[id])
		}
	}
}

// checkEvents returns what is published of the orders: for each, versions
// without a hole that end as the order did.
func (w *world) checkEvents() []event.Event {
	var all []event.Event
	for id, o := range w.stored() {
		records, err := w.db.Outbox().Key(w.Context(), id, event.None, 100)
		w.fine(err)
		var events []event.Event
		next := event.First
		for _, r := range records {
			if r.Version == next+1 && r.Subject == event.OrderCreated && events[len(events)-1].Subject == event.OrderCreated && next == 1 {
				next++ // to be complete is a version, and not announced
			}
			if r.Version != next {
				w.Fatalf("an event of order %s has version %d, want %d", id, r.Version, next)
			}
			next++
			events = append(events, r.Event)
		}
		w.checkPaymentsService(o, events)
		all = append(all, events...)
		last := records[len(records)-1].Subject
		if cancelled := o.Status == order.Cancelled; cancelled != (last == event.OrderCancelled) {
			w.Fatalf("order %s is %s and was last announced by %s", id, o.Status, last)
		}
	}
	slices.SortFunc(all, func(a, b event.Event) int { return slices.Compare([]byte(a.ID()), []byte(b.ID())) })
	return all
}

// checkLocks delivers the events to the tickets service in any order and
// twice: each ticket ends locked by its active order.
func (w *world) checkLocks(events []event.Event) {
	db := w.open("tickets.db")
	ids := slices.Clone(raced)
	tickets := ticket.NewService(db.Tickets(), ticket.Options{NewID: func() string { id := ids[0]; ids = ids[1:]; return id }})
	for range raced {
		_, err := tickets.Create(w.Context(), "owner", ticket.Draft{Title: "concert", Price: 20.5})
		w.fine(err)
	}
	for _, e := range rapid.Permutation(append(events, events...)).Draw(w.T, "events") {
		var err error
		if e.Subject == event.OrderCreated {
			var r event.Reserved
			if r, err = event.DecodeReserved(e.Payload); err == nil {
				_, err = tickets.Lock(w.Context(), r)
			}
		} else {
			var c event.Cancelled
			if c, err = event.DecodeCancelled(e.Payload); err == nil {
				_, err = tickets.Release(w.Context(), c)
			}
		}
		w.fine(err)
	}
	active := w.active()
	for _, id := range raced {
		got, err := tickets.Ticket(w.Context(), id)
		w.fine(err)
		if got.OrderID != active[id] {
			w.Fatalf("ticket %s is locked by %q, its active order is %q", id, got.OrderID, active[id])
		}
	}
}
