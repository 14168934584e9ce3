package ticket_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lockstep/event"
	"lockstep/ticket"
)

// saying is an order event that somebody publishes, or its owner.
type saying struct {
	order, ticket string
	version       int64
	cancelled     bool
}

func (f fixture) hear(t *rapid.T, s saying) {
	var err error
	if s.cancelled {
		_, err = f.Release(t.Context(), event.Cancelled{OrderID: s.order, Version: s.version, TicketID: s.ticket})
	} else {
		_, err = f.Lock(t.Context(), event.Reserved{OrderID: s.order, Version: s.version, TicketID: s.ticket})
	}
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
}

// TestWhateverWasForgedIsTakenBack: forged events of orders, of any kind and in
// any order, between the real ones. Once the owner is trusted, each of its live
// orders has its ticket and nothing else has one, nothing is left to do, and its
// next events count. Case 11.6.
func TestWhateverWasForgedIsTakenBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		var tickets []string
		for range 3 {
			made, err := f.Create(t.Context(), "ann", ticket.Draft{Title: "t", Price: 1})
			if err != nil {
				t.Fatal(err)
			}
			tickets = append(tickets, made.ID)
		}
		order := func(i int) string { return fmt.Sprintf("%06d-%d", run, i) }
		// One live order for each ticket at most, and one that is over.
		var owner orders
		var real []saying
		for i, id := range tickets {
			live := ticket.OrderState{OrderID: order(2 * i), TicketID: id, Version: rapid.Int64Range(0, 2).Draw(t, "version")}
			over := ticket.OrderState{OrderID: order(2*i + 1), TicketID: id, Version: 1, Cancelled: true}
			real = append(real, saying{over.OrderID, id, 0, false}, saying{over.OrderID, id, 1, true}, saying{live.OrderID, id, 0, false})
			owner = append(owner, live, over)
		}
		forged := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) saying {
			return saying{
				order:   order(rapid.IntRange(0, 8).Draw(t, "order")), // some are nobody's
				ticket:  rapid.SampledFrom(append([]string{"unknown"}, tickets...)).Draw(t, "ticket"),
				version: rapid.SampledFrom([]int64{0, 1, 2, 3, 7, 1 << 53}).Draw(t, "forged version"), cancelled: rapid.Bool().Draw(t, "cancelled"),
			}
		}), 0, 12).Draw(t, "forged")
		for _, s := range rapid.Permutation(append(slices.Clone(real), forged...)).Draw(t, "events") {
			f.hear(t, s)
		}

		scope := ticket.ReconcileOptions{After: fmt.Sprintf("%06d", run), TrustOwner: true}
		for range 2 { // a lock that was freed may pass to one that is corrected later
			if _, err := f.Reconcile(t.Context(), owner, scope); err != nil {
				t.Fatal(err)
			}
		}
		again, err := f.Reconcile(t.Context(), owner, scope)
		if err != nil || again.Lost+again.Forged+again.Freed+again.NoOrder+again.Locked+again.Released > 0 {
			t.Fatalf("there is still something to do: %+v, %v", again, err)
		}
		for i, o := range owner {
			got, err := f.Ticket(t.Context(), o.TicketID)
			if err != nil {
				t.Fatal(err)
			}
			if !o.Cancelled && got.OrderID != o.OrderID {
				t.Fatalf("ticket %d is held by %q, want its order %q", i/2, got.OrderID, o.OrderID)
			}
		}
		for _, o := range owner {
			if !o.Cancelled {
				f.hear(t, saying{o.OrderID, o.TicketID, o.Version + 1, true})
				if got, err := f.Ticket(t.Context(), o.TicketID); err != nil || got.OrderID != "" {
					t.Fatalf("the order was cancelled, and its ticket is held by %q, %v", strings.TrimPrefix(got.OrderID, order(0)[:7]), err)
				}
			}
		}
	})
}
