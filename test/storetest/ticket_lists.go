package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"lockstep/internal/objectid"
	"lockstep/ticket"
)

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
