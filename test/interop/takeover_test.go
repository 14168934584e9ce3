package interop

import (
	"net/http"
	"testing"
	"time"

	"lockstep/test/mongotest"
)

// TestOurServicesTakeOverFromNode does what docs/mongodb.md says under "Taking
// over from the Node services", in each order of swapping, and goes back. Case
// 9.5: a database may have any name.
func TestOurServicesTakeOverFromNode(t *testing.T) {
	t.Parallel()
	own := mongotest.Start(t, 1) // for the names
	for name, c := range map[string]struct {
		steps     []string
		set       *mongotest.Set
		databases map[string]string
	}{
		"tickets first": {[]string{"tickets", "orders", "tickets", "orders"}, own, usual},
		"orders first":  {[]string{"orders", "tickets", "orders", "tickets"}, mongotest.Shared(t), fresh(t, mongotest.Shared(t))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSystem(t, sides{}, c.set, c.databases, time.Hour)
			before := s.begin(t)
			for _, step := range c.steps {
				s.swap(t, step)
				s.finish(t, before)
				before = s.begin(t)
			}
			s.finish(t, before)
		})
	}
}

// swap puts the other side's service on a database, and tells ours beside it
// where the owner of what it copies is now.
func (s *system) swap(t *testing.T, name string) {
	t.Helper()
	of, other := &s.tickets, &s.orders
	if name == "orders" {
		of, other = other, of
	}
	s.restart(t, of, !(*of).ours)
	if (*other).ours {
		s.restart(t, other, true)
	}
}

// restart stops a service and starts ours or Node's on its database.
func (s *system) restart(t *testing.T, of **service, ours bool) {
	t.Helper()
	(*of).Stop(t)
	name := "tickets"
	if of == &s.orders {
		name = "orders"
	}
	*of = s.service(t, ours, name)
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
