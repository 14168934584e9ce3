package event

// Subject names a kind of event and, at the same time, the channel of the
// broker that carries it.
type Subject string

// The subjects of the bus. No mutual order exists between two subjects, not
// even for one record: each is a channel of its own.
const (
	TicketCreated      Subject = "ticket:created"
	TicketUpdated      Subject = "ticket:updated"
	TicketDeleted      Subject = "ticket:deleted"
	OrderCreated       Subject = "order:created"
	OrderCancelled     Subject = "order:cancelled"
	ExpirationComplete Subject = "expiration:complete"
	PaymentCreated     Subject = "payment:created"
)

// TicketSubjects are the subjects the tickets service publishes.
func TicketSubjects() []Subject {
	return []Subject{TicketCreated, TicketUpdated, TicketDeleted}
}

// OrderSubjects are the subjects the orders service publishes.
func OrderSubjects() []Subject {
	return []Subject{OrderCreated, OrderCancelled}
}
