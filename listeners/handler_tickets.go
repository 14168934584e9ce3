package listeners

import (
	"context"

	"lockstep/event"
)

// Projector applies ticket events to a replica; *replica.Projector is one.
type Projector interface {
	// Apply returns one outcome per change, in their order. What it reports
	// as applied is durable; with an error nothing may be acknowledged.
	Apply(ctx context.Context, changes []event.TicketChange) ([]event.Outcome, error)
}

// Tickets keeps the replica of tickets in the orders service.
type Tickets struct {
	projector Projector
	scheme    event.Scheme
}

// NewTickets returns the handler that applies ticket events by p. The scheme
// says how their publisher counts versions.
func NewTickets(p Projector, scheme event.Scheme) *Tickets {
	return &Tickets{projector: p, scheme: scheme}
}

// Subjects implements Handler.
func (t *Tickets) Subjects() []event.Subject { return event.TicketSubjects() }

// Decode implements Handler.
func (t *Tickets) Decode(subject event.Subject, payload []byte) (Item, error) {
	c, err := t.scheme.DecodeTicket(subject, payload)
	if err != nil {
		return Item{}, err
	}
	return Item{Key: c.ID, Version: c.Version, Predecessor: c.Predecessor, Event: c}, nil
}

// Handle implements Handler.
func (t *Tickets) Handle(ctx context.Context, items []Item) []Verdict {
	changes := make([]event.TicketChange, len(items))
	for i, item := range items {
		changes[i] = item.Event.(event.TicketChange)
	}
	outcomes, err := t.projector.Apply(ctx, changes)
	if err != nil {
		return all(len(items), err)
	}
	verdicts := make([]Verdict, len(items))
	for i, outcome := range outcomes {
		verdicts[i].Outcome = outcome
	}
	return verdicts
}
