package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/replica"
)

// replicaConverges gives every member all events, twice and shuffled, until
// nothing is early any more.
func replicaConverges(t *testing.T, b Backend) {
	const tickets, versions, members = 12, 9, 4
	var changes []event.TicketChange
	want := map[string]int64{}
	for range tickets {
		id := objectid.New()
		for v := range int64(versions) {
			c := event.TicketChange{Ticket: event.Ticket{ID: id, Title: fmt.Sprint("v", v), Version: v}, Predecessor: v - 1, Deleted: v == versions-1}
			changes = append(changes, c, c)
		}
		want[id] = versions - 1
	}
	var applied tally
	for _, err := range race(members, func(int) error {
		return project(t, replica.NewProjector(b.Replica), changes, &applied)
	}) {
		must(t, "project", err)
	}
	for id, version := range want {
		got, err := b.Replica.Row(t.Context(), id)
		must(t, "read row", err)
		same(t, "row", got, replica.Row{ID: id, Version: version, Title: fmt.Sprint("v", version), Deleted: true})
	}
}

func project(t *testing.T, p *replica.Projector, changes []event.TicketChange, applied *tally) error {
	left := append([]event.TicketChange{}, changes...)
	for len(left) > 0 {
		rand.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		batch := left[:min(20, len(left))]
		outcomes, err := p.Apply(t.Context(), batch)
		if err != nil {
			return err
		}
		early := append([]event.TicketChange{}, left[len(batch):]...)
		for i, outcome := range outcomes {
			applied.add(outcome.String())
			if outcome == event.Early {
				early = append(early, batch[i])
			}
		}
		left = early
	}
	return nil
}

func replicaForOrders(t *testing.T, b Backend) {
	alive, dead := newRow(), tombstone(newRow())
	alive.Version, alive.OrderID = 4, objectid.New()
	writeRows(t, b, 2, insertRow(alive), insertRow(dead))
	got, err := b.OrderTickets.Ticket(t.Context(), alive.ID)
	must(t, "read ticket", err)
	same(t, "ticket", got, order.Ticket{ID: alive.ID, Title: alive.Title, Price: alive.Price, Version: 4, OrderID: alive.OrderID})
	_, err = b.OrderTickets.Ticket(t.Context(), dead.ID)
	wants(t, "deleted ticket", err, order.ErrNotFound)
	_, err = b.OrderTickets.Ticket(t.Context(), objectid.New())
	wants(t, "unknown ticket", err, order.ErrNotFound)
}

func replicaForOldOrders(t *testing.T, b Backend) {
	alive, dead := newRow(), tombstone(newRow())
	writeRows(t, b, 2, insertRow(alive), insertRow(dead))
	got := collect(t, b.OrderTickets.Tickets(t.Context(), []string{alive.ID, dead.ID, objectid.New(), alive.ID}))
	slices.SortFunc(got, func(a, b order.Ticket) int { return cmp.Compare(a.Version, b.Version) })
	same(t, "tickets", got, []order.Ticket{
		{ID: alive.ID, Title: alive.Title, Price: alive.Price},
		{ID: dead.ID, Title: dead.Title, Price: dead.Price, Version: 1},
	})
	same(t, "no tickets", collect(t, b.OrderTickets.Tickets(t.Context(), nil)), nil, empty)
}
