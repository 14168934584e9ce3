package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// faults are all that can go wrong.
func (s *trial) faults() []fault {
	always := func(*trial) bool { return true }
	mongo := func(s *trial) bool { return s.db != nil }
	files := func(s *trial) bool { return s.db == nil }
	own := func(s *trial) bool { return s.limited == nil }
	over := func(s *trial) bool { return s.limited != nil }
	compared := func(s *trial) bool { return s.compares } // shown and mended by the next comparison
	mongoCompared := func(s *trial) bool { return s.db != nil && s.compares }
	tickets, orders, broker := []string{"tickets"}, []string{"orders"}, []string{"broker"}
	both, all := []string{"tickets", "orders"}, []string{"tickets", "orders", "broker"}
	return []fault{
		{"kill tickets", tickets, always, func(s *trial, rng *rand.Rand) { s.killOne("tickets", rng) }},
		{"kill orders", orders, always, func(s *trial, rng *rand.Rand) { s.killOne("orders", rng) }},
		{"freeze tickets", tickets, always, func(s *trial, rng *rand.Rand) { s.freezeOne("tickets", rng) }},
		{"freeze orders", orders, always, func(s *trial, rng *rand.Rand) { s.freezeOne("orders", rng) }},
		{"kill broker", broker, own, killBroker},
		{"freeze broker", broker, own, freezeBroker},
		{"broker loses its volume", all, own, loseVolume},
		{"channels run over", all, over, runOver},
		{"unreadable messages", both, always, unreadableMessages},
		{"forged version", both, compared, forgeVersion},
		{"forged release", both, compared, forgeRelease},
		{"restore tickets", both, always, func(s *trial, rng *rand.Rand) { s.restore("tickets", rng) }},
		{"restore orders", both, always, func(s *trial, rng *rand.Rand) { s.restore("orders", rng) }},
		{"foreign events of tickets", tickets, mongo, func(s *trial, _ *rand.Rand) { s.foreignEvents("tickets") }},
		{"foreign events of orders", orders, mongo, func(s *trial, _ *rand.Rand) { s.foreignEvents("orders") }},
		{"foreign tickets", tickets, mongoCompared, foreignTickets},
		{"foreign rows", both, mongoCompared, foreignRows},
		{"foreign orders", orders, mongo, foreignOrders},
		{"changed row", orders, compared, changeRow},
		{"changed ticket", both, compared, changeTicket},
		{"drop indexes", both, mongo, dropIndexes},
		{"drop events of tickets", both, mongo, func(s *trial, _ *rand.Rand) { s.dropEvents("tickets") }},
		{"drop events of orders", both, mongo, func(s *trial, _ *rand.Rand) { s.dropEvents("orders") }},
		{"drop replica", orders, mongo, dropReplica},
		{"drop orders", both, mongo, dropOrders},
		{"collections refuse", both, mongo, refuseDocuments},
		{"tables refuse", both, files, refuseRows},
		{"foreign rows of the outbox", tickets, files, foreignOutboxRows},
		{"drop index", orders, files, dropIndexSQLite},
		{"file deleted", tickets, files, func(s *trial, _ *rand.Rand) { s.loseFile("tickets", removeFile) }},
		{"file replaced", orders, files, func(s *trial, _ *rand.Rand) { s.loseFile("orders", replaceFile) }},
		{"file overwritten", both, files, overwriteFile},
		{"file locked", tickets, files, lockFile},
	}
}

func (s *trial) killOne(service string, rng *rand.Rand) {
	p := s.members(service)[rng.IntN(len(s.members(service)))]
	p.kill(s.t)
	pause(s.t, time.Duration(rng.IntN(3000))*time.Millisecond)
	s.begin(p)
}

func (s *trial) freezeOne(service string, rng *rand.Rand) {
	p := s.members(service)[rng.IntN(len(s.members(service)))]
	p.Freeze(s.t)
	pause(s.t, time.Duration(3+rng.IntN(20))*time.Second)
	p.Thaw(s.t)
}

func killBroker(s *trial, _ *rand.Rand) {
	s.broker.kill(s.t)
	s.shows("tickets readyz: broker", s.saysOf("tickets", "tickets broker: "))
	s.shows("orders readyz: listener", s.saysOf("orders", "orders listener: "))
	s.begin(s.broker)
}

func freezeBroker(s *trial, rng *rand.Rand) {
	s.broker.Freeze(s.t)
	defer s.broker.Thaw(s.t)
	s.shows("tickets readyz: broker frozen", s.saysOf("tickets", "tickets broker: "))
	s.shows("orders readyz: broker frozen", s.saysOf("orders", "orders broker: "))
	pause(s.t, time.Duration(rng.IntN(10))*time.Second)
}

// loseVolume: the broker begins anew.
func loseVolume(s *trial, _ *rand.Rand) {
	const name = "lockstep_listener_losses_total"
	const renumbered = `cause="renumbered"`
	tickets, orders := s.sumOf("tickets", name, renumbered), s.sumOf("orders", name, renumbered)
	s.broker.kill(s.t)
	s.forget(s.t)
	s.begin(s.broker)
	s.rises(tickets, "tickets", name, renumbered)
	s.rises(orders, "orders", name, renumbered)
	s.forgetPayments()
}

func (s *trial) forgetPayments() {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.book.lost = true
}

// runOver: the listeners of a service hang while more is published than a
// channel keeps.
func runOver(s *trial, rng *rand.Rand) {
	const name = "lockstep_listener_losses_total"
	service, subject, repeated := "orders", event.TicketCreated, fmt.Sprintf(`{"id":%q,"title":%q,"price":%v,"userId":"u","version":0}`, s.free(), own.Title, own.Price)
	if rng.IntN(2) == 0 {
		service, subject, repeated = "tickets", event.OrderCancelled, fmt.Sprintf(`{"id":%q,"version":1,"ticket":{"id":%q}}`, objectid.New(), objectid.New())
	}
	was := s.sumOf(service, name, `cause="truncated"`)
	for _, p := range s.members(service) {
		p.Freeze(s.t)
	}
	repeat := func(n int) {
		for range n {
			s.says(subject, repeated)
		}
	}
	repeat(len(s.members(service))*soakWindow + 50)
	pause(s.t, 6*time.Second) // of the load
	repeat(soakLimit + 50)
	for _, p := range s.members(service) {
		p.Thaw(s.t)
	}
	s.rises(was, service, name, `cause="truncated"`)
	s.forgetPayments()
}

// unreadableMessages: somebody publishes what is no event.
func unreadableMessages(s *trial, _ *rand.Rand) {
	for _, subject := range []event.Subject{event.TicketCreated, event.TicketUpdated, event.OrderCreated, event.OrderCancelled, event.PaymentCreated} {
		for _, payload := range []string{`{bad`, `{}`, `{"id":1,"version":"x"}`, ""} {
			s.says(subject, payload)
		}
	}
	for _, service := range []string{"tickets", "orders"} {
		s.shows(service+" readyz: quarantine", s.saysOf(service, service+" quarantine: "))
		s.shows(service+" lockstep_listener_quarantined", func() bool { return s.sumOf(service, "lockstep_listener_quarantined") > 0 })
		s.command(s.ops(service), "replica", "quarantine", "discard", "--reason", "undecodable")
	}
}

// command runs a command of the operator that must succeed.
func (s *trial) command(ops string, args ...string) {
	s.t.Helper()
	var out string
	s.waitFor(2*time.Minute, func() bool {
		said, code := lockstep(s.t, append(args, "--ops-url", ops)...)
		out = said
		return code == 0
	}, func() string { return strings.Join(args, " ") + " succeeds: " + out })
}

// trustOwner has the others believe the service that owns what they copy.
func (s *trial) trustOwner(service string) {
	s.t.Helper()
	if service == "tickets" {
		s.command(s.ordersOps, "replica", "repair", "--trust-owner")
		return
	}
	s.command(s.ticketsOps, "locks", "reconcile", "--trust-owner")
}

// forgeVersion: somebody publishes a version that the owner does not have.
func forgeVersion(s *trial, _ *rand.Rand) {
	id := s.free()
	r := s.get(s.ticketsURL + "/api/tickets/" + id)
	if r.status != http.StatusOK {
		return
	}
	s.says(event.TicketUpdated, fmt.Sprintf(`{"id":%q,"title":"forged","price":666,"userId":"u","version":%d}`, id, r.version()+1))
	s.says(event.TicketCreated, fmt.Sprintf(`{"id":%q,"title":"forged","price":666,"userId":"u","version":0}`, objectid.New()))
	s.shows("orders lockstep_replica_drift_rows", func() bool { return s.sumOf("orders", "lockstep_replica_drift_rows") > 0 })
	s.trustOwner("tickets")
}

// forgeRelease: somebody releases a ticket whose order lives.
func forgeRelease(s *trial, _ *rand.Rand) {
	order, of := s.reserve()
	s.says(event.OrderCancelled, fmt.Sprintf(`{"id":%q,"version":1,"ticket":{"id":%q}}`, order, of))
}

// reserve has somebody reserve a new ticket.
func (s *trial) reserve() (order, ticket string) {
	ticket = s.free()
	var r reply
	s.waitFor(time.Minute, func() bool {
		var err error
		r, err = s.try(s.t, buyer(0), http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": ticket})
		return err == nil && r.status == http.StatusCreated
	}, func() string { return fmt.Sprintf("a ticket can be reserved: %d %s", r.status, r.raw) })
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.book.orders[r.id()] = sale{ticket, buyer(0)}
	return r.id(), ticket
}

// own is a ticket that only one fault works on.
var own = draft{"one of its own", 20}

// free returns a new ticket that nobody else works on.
func (s *trial) free() string {
	var id string
	s.waitFor(time.Minute, func() bool {
		r, err := s.try(s.t, "ann@example.com", http.MethodPost, s.ticketsURL+"/api/tickets", own)
		id = r.id()
		return err == nil && r.status == http.StatusCreated
	}, func() string { return "a ticket can be created" })
	s.waitFor(time.Minute, func() bool {
		r, err := s.try(s.t, "", http.MethodGet, s.ordersOps+"/ops/replica/tickets/"+id, nil)
		return err == nil && r.status == http.StatusOK
	}, func() string { return "the replica has it" })
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.book.tickets[id] = 0
	return id
}

// restore puts a store of half a minute ago back.
func (s *trial) restore(service string, rng *rand.Rand) {
	const name = "lockstep_listener_losses_total"
	all := s.members(service)
	kept := s.book.copyOf()
	back := all[0].backUp(s.t)
	pause(s.t, time.Duration(5+rng.IntN(25))*time.Second)
	s.putBack(service, kept, back) // its processes are new: they have counted nothing
	s.rises(0, service, "lockstep_listener_unaccounted_messages")
	s.rises(0, service, name, `cause="elsewhere"`)
	s.trustOwner(service)
}

// putBack replaces the store of a service while nobody asks for anything.
func (s *trial) putBack(service string, kept *book, back func()) {
	s.book.gate.Lock()
	for _, p := range s.members(service) {
		p.kill(s.t)
	}
	back()
	s.book.restored(service, kept)
	for _, p := range s.members(service) {
		p.Launch(s.t)
	}
	s.book.gate.Unlock()
	for _, p := range s.members(service) {
		within(s.t, 2*time.Minute, p.Name+" is ready again", func() bool {
			r, err := s.try(s.t, "", http.MethodGet, p.Ready, nil)
			return err == nil && r.status == http.StatusOK
		})
	}
}

// discardForeign has the operator discard what is no event.
func (s *trial) discardForeign(service string) {
	s.t.Helper()
	for _, e := range s.entries(service) {
		if e.Unreadable != "" {
			r, err := s.try(s.t, "", http.MethodPost, s.ops(service)+"/ops/outbox/"+url.PathEscape(e.ID)+"/discard", nil)
			if err != nil || r.status != http.StatusNoContent && r.status != http.StatusNotFound {
				s.t.Errorf("discard %s: %d %s %v", e.ID, r.status, r.raw, err)
			}
		}
	}
}
