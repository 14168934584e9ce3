package interop

import (
	"net/http"
	"testing"
	"time"

	"lockstep/test/mongotest"
)

// TestOurServicesTakeOverFromNode does what docs/mongodb.md says under "Taking
// over from the Node services", in each order of swapping, and goes back.
func TestOurServicesTakeOverFromNode(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][]string{
		"tickets first": {"tickets", "orders", "tickets", "orders"},
		"orders first":  {"orders", "tickets", "orders", "tickets"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databases := map[string]string{"tickets": "tickets", "orders": "orders", "payments": "payments", "expiration": "expiration"}
			s := startSystem(t, sides{}, mongotest.Start(t, 1), databases, time.Hour) // a set of its own, for the names
			before := s.begin(t)
			for _, step := range steps {
				s.swap(t, step)
				s.finish(t, before)
				before = s.begin(t)
			}
			s.finish(t, before)
		})
	}
}

// swap stops a service and starts the other side's on its database.
func (s *system) swap(t *testing.T, name string) {
	t.Helper()
	of, ours := &s.tickets, &s.sides.tickets
	if name == "orders" {
		of, ours = &s.orders, &s.sides.orders
	}
	(*of).Stop(t)
	*ours = !*ours
	*of = s.service(t, *ours, name)
	(*of).start(t, s.settings(*of, time.Hour)...)
}

// stage is what is under way while a service is swapped.
type stage struct{ free, paid, cancelled, toPay, toCancel string }

func (s *system) begin(t *testing.T) (g stage) {
	t.Helper()
	g.free, g.paid, g.cancelled = s.offer(t), s.offer(t), s.offer(t)
	g.toPay, g.toCancel = s.order(t, g.paid), s.order(t, g.cancelled)
	return g
}

// finish goes on with what the services before have begun.
func (s *system) finish(t *testing.T, g stage) {
	t.Helper()
	s.pay(t, g.toPay, "created", http.StatusCreated)
	s.cancel(t, g.toCancel)
	s.untilFree(t, g.cancelled, g.toCancel)
	s.untilSold(t, g.paid, g.toPay)
	call(t, "ann", http.MethodPut, s.tickets.url+"/api/tickets/"+g.free, args{"title": "ballet", "price": 40}, http.StatusOK)
	for _, id := range []string{g.free, g.paid, g.cancelled} {
		s.untilReplica(t, id)
	}
}
