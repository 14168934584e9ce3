package storetest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/ticket"
)

var ticketCases = []testCase{
	{"a created ticket and its event are there when Commit returns", ticketWithEvent},
	{"an unknown ticket is ErrNotFound", ticketUnknown},
	{"values come back exactly", ticketExact},
	{"a deleted ticket is still returned", ticketDeleted},
	{"Free yields the tickets that are neither held nor deleted, in order of creation", ticketFree},
	{"Free may be left early and ends with the error of its context", ticketFreeEnds},
	{"Free and Page give all of many tickets", ticketMany},
	{"Page goes by id and has held and deleted tickets", ticketPage},
	{"a change without a ticket stores its events", ticketEventsOnly},
	{"an empty change is no error", ticketNothing},
}

func ticketWithEvent(t *testing.T, b Backend) {
	want := newTicket()
	e := fact(want.ID, 0)
	before := time.Now().Add(-time.Minute)
	must(t, "create", b.Tickets.Commit(t.Context(), ticket.Change{Now: &want, Events: []event.Event{e}}))
	same(t, "ticket", load(t, b, want.ID), want, asWritten)
	r, err := b.Outbox.Record(t.Context(), e.ID())
	must(t, "read event", err)
	same(t, "event", r.Event, e)
	if !r.Locked || r.LockedAt.Before(before) {
		t.Errorf("a new event has locked %t since %v, want it locked now: the dispatcher owns it", r.Locked, r.LockedAt)
	}
	if r.Failures.Total != 0 || r.Failures.Kept == nil || len(r.Failures.Kept) != 0 {
		t.Errorf("a new event has failures %#v, want an empty list", r.Failures)
	}
}

func ticketUnknown(t *testing.T, b Backend) {
	_, err := b.Tickets.Ticket(t.Context(), objectid.New())
	wants(t, "unknown ticket", err, ticket.ErrNotFound)
}

// texts are values that engines and drivers have been seen to change.
var texts = []string{
	"", "plain", " spaced ", "ünïcödé 漢字 🎫", "e\u0301 is not \u00e9", "$price", "$$ROOT", "a.b.c", `"quoted" 'and' \back`,
	"line\nbreak\ttab", "nul\x00inside", "'; DROP TABLE tickets; --", "?1 :name @x", "{\"$gt\":\"\"}", "null", "0012",
}

// prices are numbers that are easily changed on the way.
var prices = []float64{
	0, 0.1, 0.1 + 0.2, 1, 12.5, 19.99, 1e-7, 5e-324, 1e21, 9007199254740991, 9007199254740993, math.MaxFloat64, 123456789.987654321,
}

func ticketExact(t *testing.T, b Backend) {
	for i := range max(len(texts), len(prices)) {
		want := newTicket()
		want.Title, want.UserID = texts[i%len(texts)], texts[(i+1)%len(texts)]
		want.Price = prices[i%len(prices)]
		want.Version = []int64{0, 1, math.MaxInt32 + 1, event.MaxVersion - 1}[i%4]
		if i%2 == 1 {
			want.OrderID = objectid.New()
		}
		must(t, "create", b.Tickets.Commit(t.Context(), ticket.Change{Now: &want}))
		same(t, fmt.Sprintf("created %q", want.Title), load(t, b, want.ID), want, asWritten)

		was := load(t, b, want.ID)
		now := was
		now.Title, now.Price = texts[(i+2)%len(texts)], prices[(i+1)%len(prices)]
		now.Version++
		now.OrderID = ""
		must(t, "write", b.Tickets.Commit(t.Context(), ticket.Change{Was: &was, Now: &now}))
		same(t, fmt.Sprintf("wrote %q", now.Title), load(t, b, want.ID), now, asWritten)
	}
}

func ticketDeleted(t *testing.T, b Backend) {
	was := create(t, b)
	now := next(was)
	now.Deleted = true
	must(t, "delete", b.Tickets.Commit(t.Context(), ticket.Change{Was: &was, Now: &now}))
	same(t, "deleted ticket", load(t, b, was.ID), now, asWritten)
}

func ticketEventsOnly(t *testing.T, b Backend) {
	key := objectid.New()
	enqueue(t, b, fact(key, 0), fact(key, 1))
	same(t, "outbox", len(waiting(t, b)), 2)
}

func ticketNothing(t *testing.T, b Backend) {
	must(t, "empty change", b.Tickets.Commit(t.Context(), ticket.Change{}))
}
