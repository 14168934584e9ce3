package interop

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// load is sellers and buyers at a system whose processes are killed. What had
// no answer is not known; what was answered is kept.
type load struct {
	s               *system
	tickets, orders int // how many to make

	mu         sync.Mutex
	rng        *rand.Rand
	offered    []string         // tickets
	versions   map[string]int64 // the highest version answered for each ticket
	ordered    map[string]bool  // orders that were answered with 201
	cancelled  map[string]bool  // orders whose cancellation was answered
	unanswered int
	failed     map[*service]int // answers of 5xx
}

func newLoad(s *system, seed uint64, tickets, orders int) *load {
	return &load{
		s: s, tickets: tickets, orders: orders, rng: rand.New(rand.NewPCG(seed, 2)),
		versions: map[string]int64{}, ordered: map[string]bool{}, cancelled: map[string]bool{}, failed: map[*service]int{},
	}
}

// pace is the pause of each of the sellers and buyers: with as many of them as
// there are, 500 tickets take about a minute.
const (
	sellers, buyers = 4, 6
	pace            = 300 * time.Millisecond
)

// run returns once all tickets and orders are made and every order's buyer has
// done what he wanted.
func (l *load) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range sellers {
		wg.Go(func() {
			for l.made() < l.tickets && ctx.Err() == nil {
				l.sell(ctx)
				l.sleep(ctx, pace)
			}
		})
	}
	for range buyers {
		wg.Go(func() {
			for l.bought() < l.orders && ctx.Err() == nil {
				l.buy(ctx, &wg)
				l.sleep(ctx, pace)
			}
		})
	}
	wg.Wait()
}

func (l *load) made() int   { l.mu.Lock(); defer l.mu.Unlock(); return len(l.offered) }
func (l *load) bought() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.ordered) }

// below returns a random number below n.
func (l *load) below(n int64) int64 { l.mu.Lock(); defer l.mu.Unlock(); return l.rng.Int64N(n) }

func (l *load) sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// ask sends a request; status is 0 if there is no answer.
func (l *load) ask(ctx context.Context, at *service, user, method, path string, body any) (status int, d document) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	status, raw, err := try(ctx, user, method, at.url+path, body)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.unanswered++
		return 0, d
	case status >= 500:
		l.failed[at]++
	}
	_ = json.Unmarshal(raw, &d) // not there, if it is not a success
	return status, d
}

// sell makes a ticket and edits some ticket.
func (l *load) sell(ctx context.Context) {
	status, d := l.ask(ctx, l.s.tickets, "ann", http.MethodPost, "/api/tickets", args{"title": "concert", "price": l.price()})
	if status == http.StatusCreated {
		l.note(d)
	}
	if id := l.any(); id != "" {
		l.edit(ctx, id)
	}
}

func (l *load) edit(ctx context.Context, id string) {
	status, d := l.ask(ctx, l.s.tickets, "ann", http.MethodPut, "/api/tickets/"+id, args{"title": "opera", "price": l.price()})
	if status == http.StatusOK {
		l.note(d)
	}
}

func (l *load) price() float64 { return float64(1 + l.below(1000)) }

func (l *load) note(d document) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.versions[d.ID]; !known {
		l.offered = append(l.offered, d.ID)
	}
	l.versions[d.ID] = max(l.versions[d.ID], d.Version)
}

// any returns the id of some ticket, "" as long as there is none.
func (l *load) any() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.offered) == 0 {
		return ""
	}
	return l.offered[l.rng.IntN(len(l.offered))]
}

// buy orders some ticket, sometimes while its seller edits it, and has its
// buyer go on with the order.
func (l *load) buy(ctx context.Context, wg *sync.WaitGroup) {
	id := l.any()
	if id == "" {
		return
	}
	if l.below(3) == 0 {
		wg.Go(func() {
			for range edits {
				l.edit(ctx, id)
			}
		})
	}
	status, order := l.ask(ctx, l.s.orders, "bob", http.MethodPost, "/api/orders", args{"ticketId": id})
	if status != http.StatusCreated {
		return
	}
	l.mu.Lock()
	l.ordered[order.ID] = true
	l.mu.Unlock()
	wg.Go(func() { l.decide(ctx, order) })
}

// decide pays an order soon or around the moment of its expiry, cancels it, or
// lets it expire.
func (l *load) decide(ctx context.Context, order document) {
	left := soakWindow
	if at, err := time.Parse(time.RFC3339, order.ExpiresAt); err == nil {
		left = time.Until(at)
	}
	soon := time.Duration(l.below(int64(2 * time.Second)))
	switch l.below(10) {
	case 0, 1, 2:
		l.sleep(ctx, soon)
		l.pay(ctx, order.ID)
	case 3, 4:
		l.sleep(ctx, left-1500*time.Millisecond+soon)
		l.pay(ctx, order.ID)
	case 5, 6:
		l.sleep(ctx, soon)
		l.cancel(ctx, order.ID)
	}
}

const (
	attempts = 20 // of a buyer to get an answer
	edits    = 10 // of a seller, one after the other, while his ticket is ordered
)

func (l *load) pay(ctx context.Context, order string) {
	for range attempts {
		status, _ := l.ask(ctx, l.s.payments, "bob", http.MethodPost, "/api/payments", args{"token": "tok_visa", "orderId": order})
		if status != 0 && status != http.StatusNotFound { // payments may not know it yet
			return
		}
		l.sleep(ctx, pace)
	}
}

func (l *load) cancel(ctx context.Context, order string) {
	for range attempts {
		status, _ := l.ask(ctx, l.s.orders, "bob", http.MethodDelete, "/api/orders/"+order, nil)
		if status == http.StatusNoContent {
			l.mu.Lock()
			l.cancelled[order] = true
			l.mu.Unlock()
		}
		if status != 0 && status < 500 {
			return
		}
		l.sleep(ctx, pace)
	}
}
