package interop

import (
	"fmt"
	"testing"
	"time"

	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
)

// sides says which of the two services are ours; the others are Node's.
type sides struct{ tickets, orders bool }

var combinations = []sides{{false, false}, {true, false}, {false, true}, {true, true}}

func (s sides) String() string {
	name := map[bool]string{true: "our", false: "Node"}
	return name[s.tickets] + " tickets, " + name[s.orders] + " orders"
}

// system is a broker and four services, each a process of its own. payments
// and expiration are always Node's.
type system struct {
	sides
	broker                                *brokertest.Broker
	set                                   *mongotest.Set
	databases                             map[string]string // by service
	tickets, orders, payments, expiration *service
}

// startSystem starts a system whose orders expire after the window, on the
// databases. Without a window, it is short, but long enough for a machine as
// busy as this one to pay an order in time.
func startSystem(t *testing.T, who sides, set *mongotest.Set, databases map[string]string, window time.Duration) *system {
	t.Helper()
	s := &system{sides: who, broker: brokertest.Start(t), set: set, databases: databases}
	s.tickets, s.orders = s.service(t, who.tickets, "tickets"), s.service(t, who.orders, "orders")
	s.payments, s.expiration = s.service(t, false, "payments"), s.service(t, false, "expiration")
	began := time.Now()
	for _, each := range []*service{s.tickets, s.payments, s.expiration} {
		each.start(t, s.settings(each, 0)...)
	}
	if window == 0 {
		window = max(4*time.Second, 2*time.Since(began))
	}
	s.orders.start(t, s.settings(s.orders, window)...)
	return s
}

func (s *system) service(t *testing.T, ours bool, name string) *service {
	t.Helper()
	return newService(t, ours, name, s.set.URI(s.databases[name]), s.broker)
}

func (s *system) services() []*service {
	return []*service{s.tickets, s.orders, s.payments, s.expiration}
}

// settings returns what a service needs beside the five that all have.
func (s *system) settings(of *service, window time.Duration) []string {
	switch {
	case of == s.orders && s.orders.ours:
		return []string{fmt.Sprint("ORDER_WINDOW=", window), "CANONICAL_URL=" + s.tickets.owner()}
	case of == s.orders:
		return []string{fmt.Sprint("EXPIRATION_WINDOW_SECONDS=", window.Seconds())}
	case of == s.tickets && s.tickets.ours && s.orders.ours:
		return []string{"CANONICAL_URL=" + s.orders.owner()}
	}
	return nil
}

// usual are the names of the databases in the originals' manifests.
var usual = map[string]string{"tickets": "tickets", "orders": "orders", "payments": "payments", "expiration": "expiration"}

// fresh returns a database for each service, dropped at the test's end.
func fresh(t *testing.T, set *mongotest.Set) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{"tickets", "orders", "payments", "expiration"} {
		all[name] = set.Database(t)
	}
	return all
}
