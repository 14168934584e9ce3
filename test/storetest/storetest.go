package storetest

import (
	"testing"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/ticket"
)

// Outbox is what an adapter offers of the outbox.
type Outbox interface {
	outbox.Store
	outbox.Inspector
	outbox.Leases
}

// Backend is one store under test.
type Backend struct {
	Tickets      ticket.Store
	Orders       order.Store
	Replica      replica.Store
	OrderTickets order.Tickets // reads what Replica holds
	Outbox       Outbox        // of the events that Tickets and Orders commit
	Quarantine   listeners.Quarantine
	Marks        listeners.Marks
	Incidents    incident.Store

	// Foreign writes entries into the outbox that are no events, as another
	// program might under the key, and returns how many.
	Foreign func(t *testing.T, key string) int

	// Careless writes an event as a program would that leaves out or muddles
	// whatever publishing does not need.
	Careless func(t *testing.T, e event.Event)

	// Spoil puts a text where a number belongs, as another program might: into
	// the record of the table that has the id. A mark's is its group, a lease's
	// its name. Of "replica version" it is the version.
	Spoil func(t *testing.T, table, id string)

	// Reopen closes the store and opens it again on the same data.
	Reopen func(t *testing.T) Backend
}

type testCase struct {
	name string
	run  func(t *testing.T, b Backend)
}

// Run tests the store that open gives. It is called once per case, from many
// goroutines, must give fresh data each time and clean up with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	for name, cases := range map[string][]testCase{
		"Tickets":    ticketCases,
		"Conflicts":  conflictCases,
		"Locks":      lockCases,
		"Crowds":     crowdCases,
		"Orders":     orderCases,
		"Replica":    replicaCases,
		"Outbox":     outboxCases,
		"Failures":   failureCases,
		"Foreign":    foreignCases,
		"Unreadable": unreadableCases,
		"Tail":       tailCases,
		"Leases":     leaseCases,
		"Large":      largeCases,
		"Quarantine": quarantineCases,
		"Marks":      markCases,
		"Incidents":  incidentCases,
		"Durability": durabilityCases,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(t, open(t))
				})
			}
		})
	}
}
