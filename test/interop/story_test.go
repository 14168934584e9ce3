package interop

import (
	"slices"
	"testing"

	"lockstep/event"
)

// stories is how many of the records that a figure counts are told of.
const stories = 3

// tell logs what the bus carried of the tickets of paid orders that are not
// locked, in the order in which the broker stored it: by whose hand it came.
func (s *system) tell(t *testing.T, c count) {
	t.Helper()
	names := c.names[unlocked]
	if len(names) == 0 {
		return
	}
	found := s.left(t)
	var bus []message
	for _, subject := range slices.Concat(event.TicketSubjects(), event.OrderSubjects(), []event.Subject{event.ExpirationComplete, event.PaymentCreated}) {
		bus = append(bus, s.channel(t, subject)...)
	}
	slices.SortStableFunc(bus, func(a, b message) int { return a.at.Compare(b.at) })
	for _, id := range names[:min(stories, len(names))] {
		ticket := found.orders[id].Ticket.Hex()
		t.Logf("order %s is complete, its ticket %s is locked by %q, version %d:", id, ticket, found.tickets[ticket].OrderID, found.tickets[ticket].Version)
		for _, m := range bus {
			if m.ID == ticket || m.Ticket.ID == ticket || found.orders[m.OrderID].Ticket.Hex() == ticket {
				t.Log("  ", m)
			}
		}
	}
}
