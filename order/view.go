package order

import "context"

// The tickets of viewOrders orders are read at once, or as many as viewBytes of
// titles hold; the rest is read one by one.
const (
	viewOrders = 100
	viewBytes  = 256 << 10
)

// View is an order with its ticket as the replica has it now, which may cost
// something else than what the order charged.
type View struct {
	Order
	Ticket Ticket
}

// view yields orders with their tickets and reports whether to go on. A ticket
// the replica has lost is shown with what the order itself knows of it.
func (s *Service) view(ctx context.Context, orders []Order, yield func(View, error) bool) bool {
	tickets, all, err := s.some(ctx, orders)
	for _, o := range orders {
		t, known := tickets[o.TicketID]
		if !known && !all && err == nil {
			var one map[string]Ticket
			one, _, err = s.some(ctx, []Order{o})
			t, known = one[o.TicketID]
		}
		if !known {
			t = Ticket{ID: o.TicketID, Price: o.Price}
		}
		if !yield(View{Order: o, Ticket: t}, err) || err != nil {
			return false
		}
	}
	return true
}

// some returns tickets of the orders, and whether these are all that the
// replica has.
func (s *Service) some(ctx context.Context, orders []Order) (found map[string]Ticket, all bool, err error) {
	if len(orders) == 0 {
		return nil, true, nil
	}
	ids := make([]string, len(orders))
	for i, o := range orders {
		ids[i] = o.TicketID
	}
	found = make(map[string]Ticket, len(orders))
	size := 0
	for t, err := range s.tickets.Tickets(ctx, ids) {
		if err != nil {
			return nil, false, err
		}
		found[t.ID] = t
		if size += len(t.Title); size >= viewBytes {
			return found, false, nil
		}
	}
	return found, true, nil
}
