package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
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
		want.Version = []int64{0, 1, math.MaxInt32 + 1, 1 << 53}[i%4]
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

// descending returns n ids that sort against the order of their creation.
func descending(n int) []string {
	made := make([]string, n)
	for i := range made {
		made[i] = fmt.Sprintf("%024x", 1<<40-i)
	}
	return made
}

func ticketFree(t *testing.T, b Backend) {
	var want []string
	for i, id := range descending(6) {
		made := newTicket()
		made.ID = id
		switch i {
		case 1:
			made.OrderID = objectid.New()
		case 3:
			made.Deleted = true
		default:
			want = append(want, id)
		}
		must(t, "create", b.Tickets.Commit(t.Context(), ticket.Change{Now: &made}))
	}
	var got []string
	for _, free := range collect(t, b.Tickets.Free(t.Context())) {
		got = append(got, free.ID)
	}
	same(t, "free tickets", got, want)
}

func ticketFreeEnds(t *testing.T, b Backend) {
	for range 3 {
		create(t, b)
	}
	for range b.Tickets.Free(t.Context()) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	rounds := 0
	for _, err := range b.Tickets.Free(ctx) {
		rounds++
		last = err
	}
	if !errors.Is(last, context.Canceled) || rounds != 1 {
		t.Errorf("with an ended context Free gave %d rounds and error %v, want one with context.Canceled", rounds, last)
	}
}

func ticketMany(t *testing.T, b Backend) {
	const n, writers = 1100, 11
	want := map[string]bool{}
	made := make([]ticket.Ticket, n)
	for i := range made {
		made[i] = newTicket()
		want[made[i].ID] = true
	}
	for _, err := range race(writers, func(w int) error {
		for i := w; i < n; i += writers {
			if err := b.Tickets.Commit(t.Context(), ticket.Change{Now: &made[i]}); err != nil {
				return err
			}
		}
		return nil
	}) {
		must(t, "create many", err)
	}
	free := map[string]bool{}
	for _, f := range collect(t, b.Tickets.Free(t.Context())) {
		free[f.ID] = true
	}
	same(t, "free tickets", free, want)
	paged := map[string]bool{}
	for after := ""; ; {
		page, err := b.Tickets.Page(t.Context(), after, 200)
		must(t, "page", err)
		if len(page) == 0 {
			break
		}
		for _, p := range page {
			paged[p.ID] = true
		}
		after = page[len(page)-1].ID
	}
	same(t, "paged tickets", paged, want)
}

func ticketPage(t *testing.T, b Backend) {
	all := descending(5)
	for i, id := range all {
		made := newTicket()
		made.ID, made.Deleted = id, i == 1
		if i == 2 {
			made.OrderID = objectid.New()
		}
		must(t, "create", b.Tickets.Commit(t.Context(), ticket.Change{Now: &made}))
	}
	slices.Sort(all)
	page := func(after string, limit int) []string {
		found, err := b.Tickets.Page(t.Context(), after, limit)
		must(t, "page", err)
		got := []string{}
		for _, p := range found {
			got = append(got, p.ID)
		}
		return got
	}
	same(t, "first page", page("", 2), all[:2])
	same(t, "second page", page(all[1], 2), all[2:4])
	same(t, "last page", page(all[3], 2), all[4:])
	same(t, "beyond", page(all[4], 2), []string{})
}

func ticketEventsOnly(t *testing.T, b Backend) {
	key := objectid.New()
	enqueue(t, b, fact(key, 0), fact(key, 1))
	same(t, "outbox", len(waiting(t, b)), 2)
}

func ticketNothing(t *testing.T, b Backend) {
	must(t, "empty change", b.Tickets.Commit(t.Context(), ticket.Change{}))
}
