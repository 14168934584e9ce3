package ticket_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/outbox"
	"lockstep/store/sqlite"
	"lockstep/ticket"
)

// fixture is a service on a real store.
type fixture struct {
	*ticket.Service
	db *sqlite.DB
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tickets.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	// Stores keep milliseconds: no two changes may share one, or who came first
	// would be a matter of luck.
	var tick atomic.Int64
	now := func() time.Time { return time.UnixMilli(tick.Add(1)) }
	return fixture{ticket.NewService(db.Tickets(), ticket.Options{Now: now}), db}
}

func (f fixture) create(t *testing.T) ticket.Ticket {
	t.Helper()
	got, err := f.Create(t.Context(), "ann", ticket.Draft{Title: "concert", Price: 20.5})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (f fixture) lock(t *testing.T, order, id string) event.Outcome {
	t.Helper()
	o, err := f.Lock(t.Context(), event.Reserved{OrderID: order, TicketID: id})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (f fixture) release(t *testing.T, order, id string) event.Outcome {
	t.Helper()
	o, err := f.Release(t.Context(), event.Cancelled{OrderID: order, Version: 1, TicketID: id})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// events returns what the outbox holds of a ticket: "version subject payload".
func (f fixture) events(t *testing.T, id string) []outbox.Record {
	t.Helper()
	records, err := f.db.Outbox().Key(t.Context(), id, event.None, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// want checks the ticket's holder and version and that every version has
// exactly one event.
func (f fixture) want(t *testing.T, id, holder string, version int64) {
	t.Helper()
	got, err := f.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got.OrderID != holder || got.Version != version {
		t.Errorf("ticket is held by %q at version %d, want %q at %d", got.OrderID, got.Version, holder, version)
	}
	records := f.events(t, id)
	for i, r := range records {
		if r.Version != int64(i) {
			t.Fatalf("event %d of the ticket has version %d, want one event per version", i, r.Version)
		}
	}
	if len(records) != int(version)+1 {
		t.Errorf("%d events for versions 0 to %d", len(records), version)
	}
}

func (f fixture) state(t *testing.T, order string) ticket.LockState {
	t.Helper()
	l, err := f.KnownLock(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	return l.State
}
