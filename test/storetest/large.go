package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/internal/objectid"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/replica"
	"lockstep/ticket"
)

// Whatever reads many rows may hold few bytes of them. Cases 11.1, 11.2 and 11.5.
var largeCases = []testCase{
	{"a list has small and large tickets in order", largeFree},
	{"pages of tickets and rows are as small as their rows are large", largePages},
	{"an order list has titles of any size", largeOrders},
	{"the list of the outbox is without payloads", largeOutbox},
	{"lists for an operator are as small as their entries are large", largeLists},
}

// largest is a title of the size that the API takes; a page holds a few.
var largest = strings.Repeat("\u20ac", 34_000)

// pageMost is how many bytes a page may have: what its contract calls fewer.
const pageMost = 1 << 20

// mixed returns the i-th of many titles of which a few in a row are large.
func mixed(i int) string {
	if i%40 < 20 {
		return fmt.Sprint("small ", i)
	}
	return fmt.Sprint(i, largest)
}

func largeFree(t *testing.T, b Backend) {
	var made []ticket.Ticket
	for i := range 60 {
		one := newTicket()
		one.Title = mixed(i)
		must(t, "create", b.Tickets.Commit(t.Context(), ticket.Change{Now: &one}))
		made = append(made, one)
	}
	n := 0
	for free, err := range b.Tickets.Free(t.Context()) {
		must(t, "list", err)
		if free.ID != made[n].ID || free.Title != made[n].Title {
			t.Fatalf("element %d is %.20q, want %.20q", n, free.Title, made[n].Title)
		}
		n++
	}
	same(t, "elements of the list", n, len(made))
}

func largePages(t *testing.T, b Backend) {
	const n = 60
	var writes []replica.Write
	for i := range n {
		id := fmt.Sprintf("%024x", i)
		one, row := newTicket(), newRow()
		one.ID, one.Title, row.ID, row.Title = id, mixed(i), id, mixed(i)
		must(t, "create", b.Tickets.Commit(t.Context(), ticket.Change{Now: &one}))
		writes = append(writes, insertRow(row))
	}
	writeRows(t, b, n, writes...)
	for name, page := range map[string]func(after string) (ids, titles []string){
		"tickets": func(after string) (ids, titles []string) {
			page, err := b.Tickets.Page(t.Context(), after, 1000)
			must(t, "page", err)
			for _, v := range page {
				ids, titles = append(ids, v.ID), append(titles, v.Title)
			}
			return ids, titles
		},
		"rows": func(after string) (ids, titles []string) {
			page, err := b.Replica.Page(t.Context(), after, 1000)
			must(t, "page", err)
			for _, v := range page {
				ids, titles = append(ids, v.ID), append(titles, v.Title)
			}
			return ids, titles
		},
	} {
		seen := 0
		for ids, titles := page(""); len(ids) > 0; ids, titles = page(ids[len(ids)-1]) {
			if size := len(strings.Join(titles, "")); size > pageMost {
				t.Errorf("a page of %s has %d bytes, want at most %d", name, size, pageMost)
			}
			for i, id := range ids {
				if want := writes[seen].Row; id != want.ID || titles[i] != want.Title {
					t.Fatalf("%s: element %d is %s, want %s", name, seen, id, want.ID)
				}
				seen++
			}
		}
		same(t, "paged "+name, seen, n)
	}
}

func largeOrders(t *testing.T, b Backend) {
	var want []order.View
	for i := range 60 {
		row, o := newRow(), newOrder()
		row.Title = mixed(i)
		o.TicketID = row.ID
		shown := order.Ticket{ID: row.ID, Title: row.Title, Price: row.Price}
		if i%13 == 5 { // the replica has lost it
			o.TicketID = objectid.New()
			shown = order.Ticket{ID: o.TicketID, Price: o.Price}
		}
		writeRows(t, b, 1, insertRow(row))
		must(t, "create", b.Orders.Commit(t.Context(), reserve(o)))
		want = append(want, order.View{Order: o, Ticket: shown})
	}
	service := order.NewService(b.Orders, b.OrderTickets, order.Options{})
	same(t, "orders", collect(t, service.Orders(t.Context(), "buyer")), want)
}

func largeOutbox(t *testing.T, b Backend) {
	var all []event.Event
	for i := range 12 {
		e := fact(fmt.Sprintf("%02d%s", i, strings.Repeat("k", 300)), 0)
		e.Payload = bytes.Repeat([]byte("x"), 900_000)
		all = append(all, e)
		enqueue(t, b, e)
	}
	var listed []string
	for after := ""; ; {
		page, err := b.Outbox.List(t.Context(), after, 1000)
		must(t, "list", err)
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			if len(r.Payload) > 0 {
				t.Fatalf("event %.10s is listed with a payload of %d bytes", r.ID(), len(r.Payload))
			}
			listed = append(listed, r.ID())
		}
		after = listed[len(listed)-1]
	}
	same(t, "listed", sorted(listed), sorted(idsOf(all...)))
}

// listing is a list that an operator reads page by page.
type listing struct {
	put  func(i int)
	page func(after string) (ids []string, size int)
}

func largeLists(t *testing.T, b Backend) {
	const n = 40
	for name, l := range map[string]listing{
		"quarantine": quarantineListing(t, b), "incidents": incidentListing(t, b),
		"refunds": refundListing(t, b), "locks": lockListing(t, b),
	} {
		for i := range n {
			l.put(i)
		}
		seen := map[string]bool{}
		for ids, size := l.page(""); len(ids) > 0; ids, size = l.page(ids[len(ids)-1]) {
			if size > pageMost {
				t.Errorf("a page of %s has %d bytes, want at most %d", name, size, pageMost)
			}
			for _, id := range ids {
				seen[id] = true
			}
		}
		same(t, "listed "+name, len(seen), n)
	}
}

func quarantineListing(t *testing.T, b Backend) listing {
	return listing{
		put: func(i int) {
			q := newEntry(i)
			q.ID, q.Detail, q.Payload = fmt.Sprintf("%03d", i), mixed(i), bytes.Repeat([]byte("x"), 900_000)
			put(t, b, q)
		},
		page: func(after string) (ids []string, size int) {
			page, _, err := b.Quarantine.List(t.Context(), listeners.Filter{}, after, 1000)
			must(t, "list", err)
			for _, q := range page {
				ids, size = append(ids, q.ID), size+len(q.Detail)+len(q.Payload)
			}
			return ids, size
		},
	}
}

func incidentListing(t *testing.T, b Backend) listing {
	return listing{
		put: func(i int) {
			in := newIncident(i)
			in.Summary = mixed(i)
			record(t, b, in)
		},
		page: func(after string) (ids []string, size int) {
			page, err := b.Incidents.List(t.Context(), incident.Query{Before: after, Limit: 1000})
			must(t, "list", err)
			for _, in := range page {
				ids, size = append(ids, in.ID), size+len(in.Summary)
			}
			return ids, size
		},
	}
}

func refundListing(t *testing.T, b Backend) listing {
	return listing{
		put: func(i int) {
			p := newPayment(newOrder(), "pay", order.RefundPaidTwice)
			p.StripeID = mixed(i)
			must(t, "refund", b.Orders.Commit(t.Context(), order.Change{Payment: &p}))
		},
		page: func(after string) (ids []string, size int) {
			page, err := b.Orders.Refunds(t.Context(), true, after, 1000)
			must(t, "list", err)
			for _, p := range page {
				ids, size = append(ids, p.ID()), size+len(p.StripeID)
			}
			return ids, size
		},
	}
}

func lockListing(t *testing.T, b Backend) listing {
	return listing{
		put: func(i int) {
			l := ticket.Lock{OrderID: fmt.Sprintf("%024x", i), TicketID: mixed(i), State: ticket.Released, Since: noon}
			must(t, "lock", b.Tickets.Commit(t.Context(), ticket.Change{Locks: []ticket.LockChange{{Now: l}}}))
		},
		page: func(after string) (ids []string, size int) {
			page, err := b.Tickets.Locks(t.Context(), after, 1000)
			must(t, "list", err)
			for _, l := range page {
				ids, size = append(ids, l.OrderID), size+len(l.TicketID)
			}
			return ids, size
		},
	}
}
