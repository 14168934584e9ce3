package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"lockstep/event"
)

// row is a ticket as its owner and the replica tell it.
type row struct {
	ID      string
	Version int64
	Title   string
	Price   float64
	OrderID string
	Deleted bool
}

// bought is an order as its buyer sees it.
type bought struct {
	ID, Status string
	Ticket     struct{ ID string }
}

// atRest looks, while nobody asks for anything, at what must hold: what was
// answered is there, the replica is the owner's, nothing is sold twice, locks
// are those of living orders, every payment bought something or is given back,
// and nothing waits.
func (s *trial) atRest() {
	s.t.Helper()
	if s.t.Failed() {
		return
	}
	s.book.gate.Lock()
	defer s.book.gate.Unlock()
	began := time.Now()
	s.announceAgain()
	var wrong []string
	s.waitFor(3*time.Minute, func() bool {
		wrong = s.wrong()
		return len(wrong) == 0
	}, func() string {
		return fmt.Sprintf("at rest all is right: %d things are not: %s", len(wrong), strings.Join(wrong[:min(len(wrong), 20)], "\n"))
	})
	s.note("at rest and right after %v: %s", time.Since(began).Round(time.Second), s.book.sum())
}

// announceAgain does what the runbook says after a loss of payments: it compares
// them with the orders and announces what is missing.
func (s *trial) announceAgain() {
	s.book.mu.Lock()
	payments, lost := s.book.payments, s.book.lost
	s.book.lost = false
	s.book.mu.Unlock()
	if !lost {
		return
	}
	orders, refunds := s.sales(), s.refunds()
	for _, p := range payments {
		if o, known := orders[p.order]; known && o.Status != "complete" && !refunds[p.order+":"+p.id] {
			s.says(event.PaymentCreated, p.payload())
		}
	}
}

// wrong lists what does not hold.
func (s *trial) wrong() (wrong []string) {
	for _, service := range []string{"tickets", "orders"} {
		if entries := s.entries(service); len(entries) > 0 {
			wrong = append(wrong, fmt.Sprintf("in the outbox of %s: %v", service, entries))
		}
	}
	if len(wrong) > 0 {
		return wrong // the rest cannot hold
	}
	owned, orders := s.rows(), s.sales()
	return slices.Concat(s.wrongRows(owned), s.wrongSales(owned, orders), s.wrongPayments(orders))
}

// wrongRows compares the tickets with the replica and with what was answered.
func (s *trial) wrongRows(owned map[string]row) (wrong []string) {
	for id, t := range owned {
		var copied row
		r := s.get(s.ordersOps + "/ops/replica/tickets/" + id)
		if r.status == http.StatusOK {
			_ = json.Unmarshal([]byte(r.raw), &copied) // an empty row differs
		}
		if copied != t && !(t.Deleted && r.status == http.StatusNotFound) {
			wrong = append(wrong, fmt.Sprintf("ticket %+v, replica %d %s", t, r.status, r.raw))
		}
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	for id, version := range s.book.tickets {
		if t, there := owned[id]; !there || t.Version < version {
			wrong = append(wrong, fmt.Sprintf("ticket %s: version %d was answered, there is %+v", id, version, t))
		}
	}
	return wrong
}

// wrongSales compares the orders with the locks and with what was answered.
func (s *trial) wrongSales(owned map[string]row, orders map[string]bought) (wrong []string) {
	holders := map[string]string{}
	for id, o := range orders {
		if o.Status == "cancelled" {
			continue
		}
		if other := holders[o.Ticket.ID]; other != "" {
			wrong = append(wrong, fmt.Sprintf("ticket %s is sold to %s and %s", o.Ticket.ID, other, id))
		}
		holders[o.Ticket.ID] = id
	}
	for id, t := range owned {
		if !t.Deleted && t.OrderID != holders[id] {
			wrong = append(wrong, fmt.Sprintf("ticket %s is locked by %q, and sold to %q", id, t.OrderID, holders[id]))
		}
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	for id, of := range s.book.orders {
		if o, there := orders[id]; !there || o.Ticket.ID != of.ticket {
			wrong = append(wrong, fmt.Sprintf("order %s of %s was answered, there is %+v", id, of.ticket, o))
		}
	}
	return wrong
}

// wrongPayments lists the payments that bought nothing and are no refunds.
func (s *trial) wrongPayments(orders map[string]bought) (wrong []string) {
	refunds := s.refunds()
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	for _, p := range s.book.payments {
		if o, there := orders[p.order]; there && o.Status != "complete" && !refunds[p.order+":"+p.id] {
			wrong = append(wrong, fmt.Sprintf("payment %s of order %s, which is %s, is no refund", p.id, p.order, o.Status))
		}
	}
	return wrong
}

// get reads something of the system that answers.
func (s *trial) get(url string) reply {
	s.t.Helper()
	r, err := s.try(s.t, "", http.MethodGet, url, nil)
	if err != nil || r.status >= 500 {
		s.t.Logf("GET %s: %d %s %v", url, r.status, r.raw, err)
	}
	return r
}

// rows returns the tickets of their owner.
func (s *trial) rows() map[string]row {
	s.t.Helper()
	all := map[string]row{}
	for after := ""; ; {
		var page struct{ Tickets []row }
		r := s.get(s.ticketsOps + "/ops/tickets?limit=1000&after=" + after)
		if err := json.Unmarshal([]byte(r.raw), &page); err != nil || r.status != http.StatusOK {
			return all
		}
		for _, t := range page.Tickets {
			all[t.ID] = t
			after = t.ID
		}
		if len(page.Tickets) < 1000 {
			return all
		}
	}
}

// sales returns the orders of all buyers.
func (s *trial) sales() map[string]bought {
	s.t.Helper()
	all := map[string]bought{}
	for i := range buyers {
		var list []bought
		r, err := s.try(s.t, buyer(i), http.MethodGet, s.ordersURL+"/api/orders", nil)
		if err != nil || json.Unmarshal([]byte(r.raw), &list) != nil {
			s.t.Logf("orders of %s: %d %.200s %v", buyer(i), r.status, r.raw, err)
		}
		for _, o := range list {
			all[o.ID] = o
		}
	}
	return all
}

// refunds returns the payments that are given back, as order:payment.
func (s *trial) refunds() map[string]bool {
	s.t.Helper()
	all := map[string]bool{}
	for after := ""; ; {
		var page struct {
			Refunds []struct{ ID string }
			Next    string
		}
		r := s.get(s.ordersOps + "/ops/refunds?limit=1000&after=" + url.QueryEscape(after))
		if json.Unmarshal([]byte(r.raw), &page) != nil {
			return all
		}
		for _, p := range page.Refunds {
			all[p.ID] = true
		}
		if after = page.Next; after == "" {
			return all
		}
	}
}

// entry is what waits in an outbox.
type entry struct{ ID, Unreadable string }

// entries returns the beginning of a service's outbox.
func (s *trial) entries(service string) []entry {
	s.t.Helper()
	var page struct{ Events []entry }
	r := s.get(s.ops(service) + "/ops/outbox?limit=100")
	if json.Unmarshal([]byte(r.raw), &page) != nil || r.status != http.StatusOK {
		return []entry{{ID: "unknown"}}
	}
	return page.Events
}
