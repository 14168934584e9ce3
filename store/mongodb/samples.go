package mongodb

import (
	"time"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/ticket"
)

// samples returns documents as the service writes them to its collections: with
// as little in them, and with as much, as there can be.
func (db *DB) samples() map[string][]any {
	const id, other = "65f1a2b3c4d5e6f708192a3b", "65f1a2b3c4d5e6f708192a3c"
	now := instant(db.opts.Now())
	o := order.Order{ID: other, UserID: id, Status: order.Created, ExpiresAt: now, TicketID: id, Price: 20}
	complete := order.Order{ID: other, UserID: id, Status: order.Complete, Version: 1, ExpiresAt: now, TicketID: id, Price: 20, LockFrom: 1, PaidBy: id}
	p := order.Payment{OrderID: other, PaymentID: id, TicketID: id, UserID: id, Price: 20, At: now}
	refund := order.Payment{OrderID: other, PaymentID: id, StripeID: id, TicketID: id, UserID: id, Price: 20, Reason: order.RefundPaidTwice, At: now, SettledAt: now}
	i := incident.Incident{ID: id, Cause: incident.StoreStopped, Service: "tickets", Subject: "store", Summary: "it takes no writes", Opened: now, Raised: now, Count: 1, NotifyAt: now}
	over := i
	over.Closed, over.Ending, over.NotifyAt = now, "it does", time.Time{}
	waiting := newEventDoc(event.Event{Key: id, Subject: event.TicketCreated, Payload: []byte("{}"), OccurredAt: now}, now)
	all := map[string][]any{
		eventsName: {waiting},
		leasesName: {leaseDoc{Name: "outbox", Until: now}, leaseDoc{Name: "outbox", Owner: "pod", Epoch: 1, Until: now, Settled: true}},
		locksName:  {newLockDoc(ticket.Lock{OrderID: other, TicketID: id, State: ticket.Held, Since: now})},
		ordersName: {newOrderDoc(o), newOrderDoc(complete)},
		quarantineName: {quarantineDocOf(listeners.Quarantined{
			ID: id, Group: listeners.OrdersService, Subject: waiting.Subject, Sequence: 1, Key: id, Payload: []byte("{}"), Reason: listeners.TooEarly, At: now,
		})},
		marksName:     {newMarkDoc(listeners.Mark{Group: listeners.OrdersService, Channel: waiting.Subject})},
		paymentsName:  {newPaymentDoc(p), newPaymentDoc(refund)},
		incidentsName: {newIncidentDoc(i), newIncidentDoc(over)},
		ticketsName: {
			ticketDoc{ID: id, Title: "concert", Price: 20, UserID: id, CreatedAt: stamp{now}},
			ticketDoc{ID: id, Title: "concert", Price: 20, UserID: id, Version: 1, OrderID: other, Rev: 1, CreatedAt: stamp{now}},
		},
	}
	all[db.opts.Replica] = []any{rowDoc{ID: id, Title: "concert", Price: 20}, rowDoc{ID: id, Version: 1, Title: "concert", Price: 20, OrderID: other}}
	return all
}
