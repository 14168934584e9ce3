package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// book is what was answered: what must be there at the end, but for what a
// restore takes away. While it is held by gate, nobody asks for more.
type book struct {
	gate sync.RWMutex

	mu       sync.Mutex
	tickets  map[string]int64 // the highest version that was answered
	orders   map[string]sale
	payments []payment
	lost     bool // payments may have been lost: a person announces them again
	counts   map[string]int
	recent   []string // tickets that are worked on
}

type sale struct{ ticket, buyer string }

type payment struct{ id, order string }

func newBook() *book {
	return &book{tickets: map[string]int64{}, orders: map[string]sale{}, counts: map[string]int{}}
}

// copyOf returns what a backup that is made now will hold at least.
func (b *book) copyOf() *book {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &book{tickets: maps.Clone(b.tickets), orders: maps.Clone(b.orders)}
}

// restored forgets what the service had answered since the copy.
func (b *book) restored(service string, was *book) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if service == "tickets" {
		b.tickets, b.recent = was.tickets, nil
		return
	}
	b.orders, b.lost = was.orders, true
}

func (b *book) sum() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("%d tickets, %d orders, %d payments; answers: %v", len(b.tickets), len(b.orders), len(b.payments), b.counts)
}

func (b *book) ticket(id string, version int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.tickets[id]; !known {
		b.recent = append(b.recent, id)
		b.recent = b.recent[max(0, len(b.recent)-60):]
	}
	b.tickets[id] = max(b.tickets[id], version)
}

// any returns a ticket that is worked on; "" if there is none.
func (b *book) any(rng *rand.Rand) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.recent) == 0 {
		return ""
	}
	return b.recent[rng.IntN(len(b.recent))]
}

// sold returns a sale.
func (b *book) sold(rng *rand.Rand) (id string, of sale) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := slices.Sorted(maps.Keys(b.orders))
	if len(ids) == 0 {
		return "", sale{}
	}
	id = ids[len(ids)-1-rng.IntN(min(len(ids), 30))] // ids rise with time
	return id, b.orders[id]
}

func (b *book) count(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[what]++
}

// load works on the system until the returned function is called.
func (s *trial) load(seed uint64) (stop func()) {
	for i := range buyers {
		s.cookie(s.t, buyer(i))
	}
	s.cookie(s.t, "ann@example.com")
	ctx, cancel := context.WithCancel(s.t.Context())
	var working sync.WaitGroup
	for w := range 4 {
		working.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)+1))
			for ctx.Err() == nil {
				s.work(ctx, rng)
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(20+rng.IntN(160)) * time.Millisecond):
				}
			}
		})
	}
	return sync.OnceFunc(func() { cancel(); working.Wait() })
}

const buyers = 3

func buyer(i int) string { return fmt.Sprintf("buyer%d@example.com", i) }

// work asks for one thing and notes the answer.
func (s *trial) work(ctx context.Context, rng *rand.Rand) {
	s.book.gate.RLock()
	defer s.book.gate.RUnlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second) // an answer that is on its way counts
	defer cancel()
	id := s.book.any(rng)
	switch n := rng.IntN(100); {
	case n < 25 || id == "":
		r, err := s.tryFor(ctx, s.t, "ann@example.com", http.MethodPost, s.ticketsURL+"/api/tickets", draft{fmt.Sprint("new ", rng.IntN(1000)), 20})
		if s.answered("create", r, err) == http.StatusCreated {
			s.book.ticket(r.id(), 0)
		}
	case n < 55:
		r, err := s.tryFor(ctx, s.t, "ann@example.com", http.MethodPut, s.ticketsURL+"/api/tickets/"+id, draft{fmt.Sprint("edit ", rng.IntN(1000)), float64(1 + rng.IntN(100))})
		if s.answered("edit", r, err) == http.StatusOK {
			s.book.ticket(id, r.version())
		}
	case n < 80:
		who := buyer(rng.IntN(buyers))
		r, err := s.tryFor(ctx, s.t, who, http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": id})
		if s.answered("reserve", r, err) == http.StatusCreated {
			s.book.mu.Lock()
			s.book.orders[r.id()] = sale{id, who}
			s.book.mu.Unlock()
		}
	case n < 88:
		if order, of := s.book.sold(rng); order != "" {
			r, err := s.tryFor(ctx, s.t, of.buyer, http.MethodDelete, s.ordersURL+"/api/orders/"+order, nil)
			s.answered("cancel", r, err)
		}
	case n < 97:
		if order, _ := s.book.sold(rng); order != "" {
			s.pay(order)
		}
	case n < 98:
		r, err := s.tryFor(ctx, s.t, "ann@example.com", http.MethodDelete, s.ticketsURL+"/api/tickets/"+id, nil)
		s.answered("delete", r, err)
	default:
		r, err := s.tryFor(ctx, s.t, "", http.MethodGet, s.ticketsURL+"/api/tickets", nil)
		s.answered("list", r, err)
	}
}

// answered counts an answer and returns its status; 0 if there is none. An
// internal failure is a fault of ours, whatever was done to the service.
func (s *trial) answered(what string, r reply, err error) int {
	status := r.status
	if err != nil {
		status = 0
	}
	s.book.count(what + " " + strconv.Itoa(status))
	if status == http.StatusInternalServerError {
		s.t.Errorf("%s answered %s: %s", what, r.raw, s.logged(r.raw))
	}
	return status
}

// logged returns the line of a log that has the id of an answer.
func (s *trial) logged(raw string) string {
	_, id, _ := strings.Cut(raw, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	for _, p := range s.processes() {
		for line := range strings.Lines(p.Output()) {
			if id != "" && strings.Contains(line, id) {
				return line
			}
		}
	}
	return "no line has its id"
}

// pay announces a payment, as a service of payments does: again and again until
// the broker has it.
func (s *trial) pay(order string) {
	p := payment{objectid.New(), order}
	if s.bus.say(event.PaymentCreated, p.payload()) == nil {
		s.book.mu.Lock()
		s.book.payments = append(s.book.payments, p)
		s.book.mu.Unlock()
	}
}

func (p payment) payload() string {
	return fmt.Sprintf(`{"id":%q,"orderId":%q,"stripeId":"ch_%s"}`, p.id, p.order, p.id)
}

// speaker publishes, and connects again when it must.
type speaker struct {
	url, cluster string
	mu           sync.Mutex
	conn         stan.Conn
}

func (b *speaker) say(subject event.Subject, payload string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn == nil {
		conn, err := stan.Connect(b.cluster, "speaker-"+objectid.New(), stan.NatsURL(b.url), stan.ConnectWait(5*time.Second), stan.PubAckWait(5*time.Second))
		if err != nil {
			return err
		}
		b.conn = conn
	}
	err := b.conn.Publish(string(subject), []byte(payload))
	if err != nil {
		_ = b.conn.Close() // it may be gone
		b.conn = nil
	}
	return err
}

// says publishes and wants to be heard.
func (s *trial) says(subject event.Subject, payload string) {
	s.t.Helper()
	until(s.t, "the broker takes a message", func() bool { return s.bus.say(subject, payload) == nil })
}

func (b *speaker) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		_ = b.conn.Close() // its broker may be gone
	}
}
