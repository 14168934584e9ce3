package storetest

import (
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/ticket"
)

var conflictCases = []testCase{
	{"a condition that does not hold is ErrConflict and stores nothing", conflictMatrix},
	{"when the last part of a change fails, no part is stored", bothOrNeither},
	{"a guard moves the revision and nothing else", guardMovesRevision},
	{"two decisions on one revision: one is stored", oneDecisionPerRevision},
	{"the revision of a change is ignored", revisionIsTheStores},
}

// conflictMatrix tries every kind of change on every kind of stale read. Each
// brings a lock and an event, which must not be stored either.
func conflictMatrix(t *testing.T, b Backend) {
	stale := func(t *testing.T, touch func(*ticket.Ticket)) ticket.Ticket {
		was := create(t, b)
		touch(&was)
		return was
	}
	current := func(*ticket.Ticket) {}
	olderVersion := func(was *ticket.Ticket) { was.Version-- }
	newerVersion := func(was *ticket.Ticket) { was.Version++ }
	otherRevision := func(was *ticket.Ticket) { was.Revision-- }
	otherID := func(was *ticket.Ticket) { was.ID = objectid.New() }

	known := ticket.Lock{OrderID: objectid.New(), TicketID: objectid.New(), State: ticket.Waiting, Since: noon}
	must(t, "first lock", b.Tickets.Commit(t.Context(), ticket.Change{Locks: []ticket.LockChange{{Now: known}}}))
	held, raised := known, known
	held.State, raised.Version = ticket.Held, known.Version+1
	fresh := ticket.LockChange{Now: ticket.Lock{OrderID: objectid.New(), TicketID: known.TicketID, State: ticket.Held, Since: noon}}

	write := func(was ticket.Ticket) ticket.Change {
		now := next(was)
		return ticket.Change{Was: &was, Now: &now}
	}
	guard := func(was ticket.Ticket) ticket.Change { return ticket.Change{Was: &was} }
	insert := func(was ticket.Ticket) ticket.Change { return ticket.Change{Now: &was} }

	for _, c := range []struct {
		name   string
		change ticket.Change
		lock   ticket.LockChange
	}{
		{"create an id that exists", insert(stale(t, current)), fresh},
		{"write an older version", write(stale(t, olderVersion)), fresh},
		{"write a newer version", write(stale(t, newerVersion)), fresh},
		{"write another revision", write(stale(t, otherRevision)), fresh},
		{"write a ticket that is not there", write(stale(t, otherID)), fresh},
		{"guard an older version", guard(stale(t, olderVersion)), fresh},
		{"guard a newer version", guard(stale(t, newerVersion)), fresh},
		{"guard another revision", guard(stale(t, otherRevision)), fresh},
		{"guard a ticket that is not there", guard(stale(t, otherID)), fresh},
		{"lock an order that is known", write(stale(t, current)), ticket.LockChange{Now: held}},
		{"move a lock from a state it has left", write(stale(t, current)), ticket.LockChange{Was: held, Now: held}},
		{"move a lock from a version it has left", write(stale(t, current)), ticket.LockChange{Was: raised, Now: held}},
		{"move a lock that is not known", write(stale(t, current)), ticket.LockChange{Was: known, Now: fresh.Now}},
		{"lock a known order beside a guard", guard(stale(t, current)), ticket.LockChange{Now: held}},
		{"lock a known order beside a create", insert(newTicket()), ticket.LockChange{Now: held}},
		{"lock a known order alone", ticket.Change{}, ticket.LockChange{Now: held}},
	} {
		before, e := waiting(t, b), fact(objectid.New(), 7)
		c.change.Locks, c.change.Events = []ticket.LockChange{c.lock}, []event.Event{e}
		unchanged := snapshot(t, b, c.change)
		wants(t, c.name, b.Tickets.Commit(t.Context(), c.change), ticket.ErrConflict)
		same(t, c.name+": tickets", snapshot(t, b, c.change), unchanged)
		same(t, c.name+": outbox", waiting(t, b), before)
		got, err := b.Tickets.Lock(t.Context(), known.OrderID)
		must(t, "read lock", err)
		same(t, c.name+": known lock", got, known)
		if c.lock.Now.OrderID != known.OrderID {
			_, err := b.Tickets.Lock(t.Context(), c.lock.Now.OrderID)
			wants(t, c.name+": new lock", err, ticket.ErrNotFound)
		}
	}
}

// snapshot returns what is stored of the tickets that c names, revisions
// included.
func snapshot(t *testing.T, b Backend, c ticket.Change) map[string]ticket.Ticket {
	t.Helper()
	found := map[string]ticket.Ticket{}
	for _, named := range []*ticket.Ticket{c.Was, c.Now} {
		if named == nil {
			continue
		}
		if got, err := b.Tickets.Ticket(t.Context(), named.ID); err == nil {
			found[named.ID] = got
		}
	}
	return found
}

// bothOrNeither makes the event collide, which is the last thing written.
func bothOrNeither(t *testing.T, b Backend) {
	taken := fact(objectid.New(), 0)
	enqueue(t, b, taken)
	was := create(t, b)
	now, made := next(was), newTicket()
	lock := ticket.LockChange{Now: ticket.Lock{OrderID: objectid.New(), TicketID: was.ID, State: ticket.Held, Since: noon}}
	for name, c := range map[string]ticket.Change{
		"create": {Now: &made},
		"write":  {Was: &was, Now: &now},
		"guard":  {Was: &was},
		"lock":   {},
	} {
		before, unchanged := waiting(t, b), snapshot(t, b, c)
		c.Locks = []ticket.LockChange{lock}
		c.Events = []event.Event{fact(objectid.New(), 0), taken}
		if err := b.Tickets.Commit(t.Context(), c); err == nil {
			t.Errorf("%s: an event with an id that is taken was accepted", name)
		}
		same(t, name+": tickets", snapshot(t, b, c), unchanged)
		same(t, name+": outbox", waiting(t, b), before)
		_, err := b.Tickets.Lock(t.Context(), lock.Now.OrderID)
		wants(t, name+": lock", err, ticket.ErrNotFound)
	}
}

func guardMovesRevision(t *testing.T, b Backend) {
	was := create(t, b)
	must(t, "guard", b.Tickets.Commit(t.Context(), ticket.Change{Was: &was}))
	got := load(t, b, was.ID)
	same(t, "guarded ticket", got, was, asWritten)
	if got.Revision == was.Revision {
		t.Errorf("the guard left the revision at %d", got.Revision)
	}
	now := next(was)
	wants(t, "write decided before the guard", b.Tickets.Commit(t.Context(), ticket.Change{Was: &was, Now: &now}), ticket.ErrConflict)
	wants(t, "guard decided before the guard", b.Tickets.Commit(t.Context(), ticket.Change{Was: &was}), ticket.ErrConflict)
	must(t, "write decided after the guard", b.Tickets.Commit(t.Context(), ticket.Change{Was: &got, Now: &now}))
}

func oneDecisionPerRevision(t *testing.T, b Backend) {
	was := create(t, b)
	now := next(was)
	errs := race(8, func(i int) error {
		if i%2 == 0 {
			return b.Tickets.Commit(t.Context(), ticket.Change{Was: &was})
		}
		return b.Tickets.Commit(t.Context(), ticket.Change{Was: &was, Now: &now})
	})
	oneWinner(t, "decisions on one revision", errs, ticket.ErrConflict)
}

// oneWinner holds a race to one success; everybody else gets lost.
func oneWinner(t *testing.T, what string, errs []error, lost error) (winner int) {
	t.Helper()
	winners := 0
	for i, err := range errs {
		if err == nil {
			winner = i
			winners++
			continue
		}
		wants(t, what+": loser", err, lost)
	}
	if winners != 1 {
		t.Errorf("%s: %d winners, want 1", what, winners)
	}
	return winner
}

func revisionIsTheStores(t *testing.T, b Backend) {
	made := newTicket()
	made.Revision = 77
	must(t, "create", b.Tickets.Commit(t.Context(), ticket.Change{Now: &made}))
	was := load(t, b, made.ID)
	now := next(was)
	now.Revision = was.Revision // what a service passes back
	must(t, "write", b.Tickets.Commit(t.Context(), ticket.Change{Was: &was, Now: &now}))
	if got := load(t, b, made.ID); got.Revision == was.Revision {
		t.Errorf("a write left the revision at %d", got.Revision)
	}
}
