package interop

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// startOurOrders starts our orders beside Node's services.
func startOurOrders(t *testing.T, window time.Duration) *system {
	t.Helper()
	set := mongotest.Shared(t)
	return startSystem(t, sides{orders: true}, set, fresh(t, set), window)
}

// bought is an order with its ticket and the moment it expires.
type bought struct {
	order, ticket string
	expiresAt     time.Time
}

// buy orders a ticket for bob.
func (s *system) buy(t *testing.T, ticket string) bought {
	t.Helper()
	made := call(t, "bob", http.MethodPost, s.orders.url+"/api/orders", args{"ticketId": ticket}, http.StatusCreated)
	at := must[time.Time](t)(time.Parse(time.RFC3339Nano, made.ExpiresAt))
	spawn.Until(t, "payments knows the order", func() bool { return s.stored(t, "payments", "orders", made.ID).Status != "" })
	return bought{order: made.ID, ticket: ticket, expiresAt: at}
}

// untilComplete waits until a paid order is complete, and wants its ticket to
// stay its own.
func (s *system) untilComplete(t *testing.T, b bought) {
	t.Helper()
	spawn.Within(t, 2*time.Minute, "the paid order "+b.order+" is complete", func() bool { return s.status(t, b.order) == "complete" })
	spawn.Within(t, time.Minute, "its ticket is locked for it", func() bool { return s.ticket(t, b.ticket).OrderID == b.order })
	call(t, "carl", http.MethodPost, s.orders.url+"/api/orders", args{"ticketId": b.ticket}, http.StatusBadRequest)
}

// TestAPaymentThatCameWhileOrdersWereDownCounts: it is made after a kill, and
// orders start again when the order's time is over. Case 9.1.
func TestAPaymentThatCameWhileOrdersWereDownCounts(t *testing.T) {
	t.Parallel()
	s := startOurOrders(t, 5*time.Second)
	b := s.buy(t, s.offer(t))
	s.orders.Kill()
	s.pay(t, b.order, "created", http.StatusCreated)
	spawn.Pause(t, time.Until(b.expiresAt)+500*time.Millisecond)
	s.orders.Start(t)
	s.untilComplete(t, b)
	for _, m := range s.channel(t, event.OrderCancelled) {
		if m.ID == b.order {
			t.Errorf("the paid order was announced as cancelled, version %d", m.Version)
		}
	}
}

// TestPaymentsAroundTheExpiryBuySomething: 30 payments in the seconds around
// the end of their orders, while orders are killed. Case 9.1.
func TestPaymentsAroundTheExpiryBuySomething(t *testing.T) {
	t.Parallel()
	const n = 30
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s := startOurOrders(t, 8*time.Second)
	tickets := make([]string, n)
	for i := range tickets {
		tickets[i] = s.offer(t)
	}
	orders := make([]bought, n)
	charged := make([]bool, n)
	var paying sync.WaitGroup
	for i, ticket := range tickets {
		orders[i] = s.buy(t, ticket)
		when := orders[i].expiresAt.Add(time.Duration(rng.IntN(3000)-2000) * time.Millisecond)
		paying.Go(func() {
			time.Sleep(time.Until(when))
			status, _, err := try(t.Context(), "bob", http.MethodPost, s.payments.url+"/api/payments", args{"token": "tok_visa", "orderId": orders[i].order})
			charged[i] = err == nil && status == http.StatusCreated
		})
	}
	done := make(chan struct{})
	go func() { paying.Wait(); close(done) }()
	kills := 0
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-time.After(time.Duration(200+rng.IntN(1500)) * time.Millisecond):
			s.orders.Kill()
			s.orders.Start(t)
			kills++
		}
	}
	count := 0
	for i, b := range orders {
		if charged[i] {
			count++
			s.untilComplete(t, b)
		}
	}
	var refunds struct{ Refunds []any }
	_, raw, err := try(t.Context(), "", http.MethodGet, s.orders.ops+"/ops/refunds", nil)
	if err != nil {
		t.Fatal(err)
	}
	if refunds = read[struct{ Refunds []any }](t, raw); len(refunds.Refunds) != 0 {
		t.Errorf("refunds although nobody else bought: %s", raw)
	}
	t.Logf("%d of %d orders were paid, %d kills", count, n, kills)
	if count == 0 {
		t.Error("no payment was taken: the test shows nothing")
	}
}

// say publishes an event of the orders once more, as a broker delivers it again
// that has no acknowledgement.
func (s *system) say(t *testing.T, e event.Event, err error) {
	t.Helper()
	conn := must[stan.Conn](t)(stan.Connect(brokertest.ClusterID, "late", stan.NatsURL(s.broker.URL())))
	defer conn.Close()
	if err = errors.Join(err, conn.Publish(string(e.Subject), e.Payload)); err != nil {
		t.Fatal(err)
	}
}

// TestAPaidTicketThatNodeUnlocksIsLockedAgain: Node's handler of
// order:cancelled asks nobody whose lock it clears, also when it gets the
// release of a dead order again. Payments and expiration, which have the paid
// order already, go on: the next order is paid, and the one after it expires.
// Case 9.
func TestAPaidTicketThatNodeUnlocksIsLockedAgain(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(*testing.T, *service){
		"seen":        func(*testing.T, *service) {},
		"found later": func(t *testing.T, orders *service) { orders.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startOurOrders(t, 20*time.Second)
			ticket := s.offer(t)
			dead := s.buy(t, ticket)
			s.cancel(t, dead.order)
			s.untilFree(t, ticket, dead.order)
			paid := s.buy(t, ticket)
			s.pay(t, paid.order, "created", http.StatusCreated)
			s.untilComplete(t, paid)
			meanwhile(t, s.orders)
			release, err := event.Cancelled{OrderID: dead.order, Version: 1, TicketID: ticket}.Event(time.Now())
			s.say(t, release, err)
			spawn.Within(t, time.Minute, "Node clears the lock of the paid order", func() bool { return s.ticket(t, ticket).OrderID == "" })
			if name != "seen" {
				s.orders.Start(t)
			}
			s.untilComplete(t, paid)
			if said := announced(s.channel(t, event.OrderCreated))[paid.order]; said[0] != 1 || said[2] != 1 || len(said) != 2 {
				t.Errorf("versions of order:created, with how often each was announced: %v, want 0 and 2, once each", said)
			}
			next, last := s.buy(t, s.offer(t)), s.buy(t, s.offer(t))
			s.pay(t, next.order, "created", http.StatusCreated)
			s.untilComplete(t, next)
			s.untilFree(t, last.ticket, last.order)
			s.untilComplete(t, paid) // its time has come twice
		})
	}
}

// TestATicketThatNodeLocksForADeadOrderIsReleased: Node's handler of
// order:created locks without asking, also when it comes back late, for an
// order that was cancelled meanwhile. Here it is given the event once more.
// Case 9.2.
func TestATicketThatNodeLocksForADeadOrderIsReleased(t *testing.T) {
	t.Parallel()
	s := startOurOrders(t, time.Hour)
	ticket := s.offer(t)
	dead := s.buy(t, ticket)
	spawn.Until(t, "the order holds the ticket", func() bool { return s.ticket(t, ticket).OrderID == dead.order })
	s.cancel(t, dead.order)
	s.untilFree(t, ticket, dead.order)
	late, err := event.Reserved{OrderID: dead.order, UserID: "bob", ExpiresAt: dead.expiresAt, TicketID: ticket, TicketPrice: 30}.Event(time.Now())
	s.say(t, late, err)
	spawn.Within(t, time.Minute, "Node locks for the dead order", func() bool { return s.ticket(t, ticket).OrderID == dead.order })
	s.orders.Kill() // what it saw is forgotten; what it finds is not
	s.orders.Start(t)
	s.untilFree(t, ticket, dead.order)
	if said := announced(s.channel(t, event.OrderCancelled))[dead.order]; said[1] != 1 || said[2] != 1 || len(said) != 2 {
		t.Errorf("versions of order:cancelled, with how often each was announced: %v, want 1 and 2, once each", said)
	}
	s.untilReplica(t, ticket)
}
