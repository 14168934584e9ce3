package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/ticket"
)

var lockCases = []testCase{
	{"a lock comes back exactly as it moves", lockRoundTrip},
	{"NextWaiting is the order that has waited longest for that ticket", lockNextWaiting},
	{"a change stores all of its locks", lockSeveral},
	{"Locks goes by order, in whatever state", lockPages},
	{"no order is left waiting for a free ticket, whatever races", lockRaces},
}

func lockRoundTrip(t *testing.T, b Backend) {
	want := ticket.Lock{OrderID: objectid.New(), TicketID: objectid.New(), Version: 3, State: ticket.Waiting, Since: noon}
	_, err := b.Tickets.Lock(t.Context(), want.OrderID)
	wants(t, "unknown order", err, ticket.ErrNotFound)
	var was ticket.Lock
	store := func() {
		t.Helper()
		must(t, "store lock", b.Tickets.Commit(t.Context(), ticket.Change{Locks: []ticket.LockChange{{Was: was, Now: want}}}))
		got, err := b.Tickets.Lock(t.Context(), want.OrderID)
		must(t, "read lock", err)
		same(t, "lock", got, want)
		was = want
	}
	store()
	want.State, want.Since = ticket.Held, noon.Add(time.Minute)
	store()
	want.State, want.Version = ticket.Released, 4
	store()
	want.State, want.Version = ticket.Held, 1 // a forged version is taken back
	store()
}

func lockNextWaiting(t *testing.T, b Backend) {
	ticketID := objectid.New()
	_, err := b.Tickets.NextWaiting(t.Context(), ticketID)
	wants(t, "nobody waits", err, ticket.ErrNotFound)
	lock := func(order int, state ticket.LockState, ticketID string, since time.Time) ticket.Lock {
		l := ticket.Lock{OrderID: fmt.Sprintf("%024x", order), TicketID: ticketID, State: state, Since: since}
		must(t, "store lock", b.Tickets.Commit(t.Context(), ticket.Change{Locks: []ticket.LockChange{{Now: l}}}))
		return l
	}
	lock(1, ticket.Held, ticketID, noon.Add(-time.Hour))
	lock(2, ticket.Released, ticketID, noon.Add(-time.Hour))
	lock(3, ticket.Tombstone, ticketID, noon.Add(-time.Hour))
	lock(4, ticket.Waiting, objectid.New(), noon.Add(-time.Hour))
	want := []ticket.Lock{
		lock(9, ticket.Waiting, ticketID, noon),
		lock(6, ticket.Waiting, ticketID, noon.Add(time.Second)),
		lock(7, ticket.Waiting, ticketID, noon.Add(time.Second)),
		lock(5, ticket.Waiting, ticketID, noon.Add(time.Minute)),
	}
	n, err := b.Tickets.Waiting(t.Context())
	must(t, "count those who wait", err)
	same(t, "orders that wait", n, 5) // case 11.10
	for _, l := range want {
		got, err := b.Tickets.NextWaiting(t.Context(), ticketID)
		must(t, "next waiting", err)
		same(t, "next waiting", got, l)
		released := l
		released.State = ticket.Released
		must(t, "release", b.Tickets.Commit(t.Context(), ticket.Change{Locks: []ticket.LockChange{{Was: l, Now: released}}}))
	}
	_, err = b.Tickets.NextWaiting(t.Context(), ticketID)
	wants(t, "nobody waits any more", err, ticket.ErrNotFound)
}

func lockSeveral(t *testing.T, b Backend) {
	var changes []ticket.LockChange
	for range 3 {
		changes = append(changes, ticket.LockChange{Now: ticket.Lock{OrderID: objectid.New(), TicketID: objectid.New(), State: ticket.Held, Since: noon}})
	}
	must(t, "store locks", b.Tickets.Commit(t.Context(), ticket.Change{Locks: changes}))
	for _, c := range changes {
		got, err := b.Tickets.Lock(t.Context(), c.Now.OrderID)
		must(t, "read lock", err)
		same(t, "lock", got, c.Now)
	}
}

// lockPages uses ids of both kinds: a foreign orders service has its own.
func lockPages(t *testing.T, b Backend) {
	states := []ticket.LockState{ticket.Held, ticket.Waiting, ticket.Released, ticket.Tombstone}
	want := make([]ticket.Lock, 8)
	for i := range want {
		want[i] = ticket.Lock{OrderID: fmt.Sprintf("%024x", i), TicketID: objectid.New(), Version: int64(i), State: states[i%len(states)], Since: noon}
		if i%2 == 1 {
			want[i].OrderID = fmt.Sprintf("%024x-b", i)
		}
	}
	for _, l := range slices.Backward(want) {
		must(t, "store lock", b.Tickets.Commit(t.Context(), ticket.Change{Locks: []ticket.LockChange{{Now: l}}}))
	}
	for after, rest := range map[string][]ticket.Lock{"": want, want[2].OrderID: want[3:], want[5].OrderID: want[6:], want[7].OrderID: nil} {
		got, err := b.Tickets.Locks(t.Context(), after, 4)
		must(t, "locks", err)
		same(t, "locks after "+after, got, rest[:min(4, len(rest))], empty)
	}
}

// lockRaces lets orders come and go at once. Each decision is right by itself;
// only the guard keeps "it is held, so I wait" and "nobody waits, so it is
// free" from being stored side by side.
func lockRaces(t *testing.T, b Backend) {
	const rounds, orders = 25, 6
	service := ticket.NewService(b.Tickets, ticket.Options{})
	for round := range rounds {
		made, err := service.Create(t.Context(), "owner", ticket.Draft{Title: "raced", Price: 1})
		must(t, "create", err)
		names := make([]string, orders)
		for i := range names {
			names[i] = objectid.New()
		}
		lock := func(i int) error {
			_, err := service.Lock(t.Context(), event.Reserved{OrderID: names[i], TicketID: made.ID})
			return err
		}
		release := func(i int) error {
			_, err := service.Release(t.Context(), event.Cancelled{OrderID: names[i], Version: 1, TicketID: made.ID})
			return err
		}
		must(t, "first lock", lock(0))
		kept := round % orders // never released, so it must hold the ticket in the end
		for _, err := range race(2*orders, func(i int) error {
			switch order := i / 2; {
			case i%2 == 0:
				return lock(order)
			case order == kept:
				_, err := service.Update(t.Context(), made.ID, "owner", ticket.Draft{Title: "edited"})
				return ignore(err, ticket.ErrReserved, ticket.ErrConflict)
			default:
				return release(order)
			}
		}) {
			must(t, "race", err)
		}
		checkHolder(t, b, made.ID, names[kept])
		checkVersions(t, b, made.ID)
	}
}

// ignore returns nil for the errors that a race may bring.
func ignore(err error, expected ...error) error {
	for _, e := range expected {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

func checkHolder(t *testing.T, b Backend, ticketID, want string) {
	t.Helper()
	got := load(t, b, ticketID)
	if got.OrderID != want {
		t.Errorf("ticket is held by %q, want %q, the only order that was not cancelled", got.OrderID, want)
	}
	if l, err := b.Tickets.NextWaiting(t.Context(), ticketID); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("order %s waits for the ticket that %q holds, error %v", l.OrderID, got.OrderID, err)
	}
	l, err := b.Tickets.Lock(t.Context(), want)
	must(t, "read lock", err)
	same(t, "state of the holder", l.State, ticket.Held)
}

// checkVersions wants one event for each version of the ticket.
func checkVersions(t *testing.T, b Backend, ticketID string) {
	t.Helper()
	records, err := b.Outbox.Key(t.Context(), ticketID, event.None, 1000)
	must(t, "read events", err)
	stored := load(t, b, ticketID).Version
	for i, r := range records {
		if r.Version != int64(i) {
			t.Fatalf("event %d has version %d", i, r.Version)
		}
	}
	if int64(len(records)) != stored+1 {
		t.Errorf("ticket has version %d and %d events", stored, len(records))
	}
}

// tally counts under a lock.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name]++
}
