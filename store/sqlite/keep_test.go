package sqlite

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"lockstep/event"
	"lockstep/internal/group"
	"lockstep/internal/objectid"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/ticket"
)

func reservation(ticketID string) order.Change {
	return order.Change{Now: order.Order{ID: objectid.New(), UserID: "u", Status: order.Created, TicketID: ticketID}}
}

// foreign runs statements as another program would.
func foreign(t *testing.T, path string, statements ...string) {
	t.Helper()
	pool, err := connect(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, s := range statements {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Case 10.4: eleven buyers had a ticket without the index. One that only has its
// name lets a ticket be sold as often.
func TestATicketIsSoldOnceUnderAnIndexThatIsAnother(t *testing.T) {
	t.Parallel()
	for what, index := range map[string]string{
		"none":            "SELECT 1",
		"not unique":      "CREATE INDEX ordersActive ON orders (ticketId) WHERE status IN ('created', 'awaiting:payment', 'complete')",
		"of some of them": "CREATE UNIQUE INDEX ordersActive ON orders (ticketId) WHERE status = 'complete'",
		"of the orders":   "CREATE UNIQUE INDEX ordersActive ON orders (id)",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			db := openFile(t, path)
			orders := db.Orders()
			if err := orders.Commit(t.Context(), reservation("another")); err != nil {
				t.Fatal(err)
			}
			foreign(t, path, "DROP INDEX ordersActive", index)
			var buyers sync.WaitGroup
			var sold atomic.Int32
			for range 8 {
				buyers.Go(func() {
					switch err := orders.Commit(t.Context(), reservation("ticket")); {
					case err == nil:
						sold.Add(1)
					case !errors.Is(err, order.ErrReserved):
						t.Error(err)
					}
				})
			}
			buyers.Wait()
			if sold.Load() != 1 {
				t.Errorf("the ticket was sold %d times", sold.Load())
			}
			foreign(t, path, "DROP INDEX ordersActive", index)
			if err := db.Ping(t.Context()); err != nil {
				t.Errorf("readiness: %v, want the index made again", err)
			}
			if err := orders.Commit(t.Context(), reservation("ticket")); !errors.Is(err, order.ErrReserved) {
				t.Errorf("one more buyer: %v", err)
			}
		})
	}
}

func TestReservationsAreSuspendedWhileTicketsAreSoldTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	held := reservation("ticket")
	if err := db.Orders().Commit(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	foreign(t, path, "DROP INDEX ordersActive",
		"INSERT INTO orders SELECT NULL, 'copy', userId, status, expiresAt, ticketId, price, version, paidBy, lockFrom FROM orders")
	if err := db.Orders().Commit(t.Context(), reservation("another")); !errors.Is(err, order.ErrSuspended) {
		t.Errorf("reservation: %v, want ErrSuspended", err)
	}
	if err := db.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "cancel all but one of each") {
		t.Errorf("readiness: %v, want what to do", err)
	}
	was := held.Now
	now := was
	now.Status, now.Version = order.Cancelled, 1
	if err := db.Orders().Commit(t.Context(), order.Change{Was: &was, Now: now}); err != nil {
		t.Errorf("cancellation: %v, want it to go on", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("readiness afterwards: %v", err)
	}
	if err := db.Orders().Commit(t.Context(), reservation("another")); err != nil {
		t.Errorf("reservation afterwards: %v", err)
	}
}

// Case 10.4: whichever table, index and trigger it is, while the service runs.
func TestWhatIsDroppedIsMadeAgainOrMissed(t *testing.T) {
	t.Parallel()
	all, err := wanted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		t.Run(o.kind+" "+o.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			db := openFile(t, path)
			if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); err != nil {
				t.Fatal(err)
			}
			foreign(t, path, "DROP "+o.kind+" "+o.name)
			if o.kind == "table" && irreplaceable(o.name) {
				wantMissing(t, db, o.name)
				return
			}
			if err := db.Ping(t.Context()); err != nil {
				t.Errorf("readiness: %v", err)
			}
			wantWhole(t, db, all)
			if n := testutil.ToFloat64(db.writer.made); n == 0 {
				t.Error("no metric tells")
			}
		})
	}
}

func wantWhole(t *testing.T, db *DB, all []object) {
	t.Helper()
	have, err := objectsOf(t.Context(), db.writer.conn)
	if err != nil {
		t.Fatal(err)
	}
	byName := func(a, b object) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(have, byName)
	want := slices.Clone(all)
	for i := range want {
		want[i].rehearsal = nil // which no file says
	}
	slices.SortFunc(want, byName)
	if diff := cmp.Diff(want, have, cmp.AllowUnexported(object{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func wantMissing(t *testing.T, db *DB, table string) {
	t.Helper()
	if err := db.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "table "+table+" was dropped, renamed or replaced") {
		t.Errorf("readiness: %v, want it to name the table", err)
	}
	err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()})
	if table == "tickets" && !errors.Is(err, group.ErrRefused) || table != "tickets" && err != nil {
		t.Errorf("a ticket: %v", err)
	}
	if err := db.Orders().Commit(t.Context(), reservation("ticket")); table == "orders" && !errors.Is(err, group.ErrRefused) {
		t.Errorf("a reservation: %v, want a refusal", err)
	}
	if _, err := db.Tickets().Ticket(t.Context(), objectid.New()); table == "tickets" && !errors.Is(err, group.ErrRefused) {
		t.Errorf("a look at a ticket: %v, want a refusal", err)
	}
	path := db.path
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := openFile(t, path)
	if err := again.Ping(t.Context()); err != nil {
		t.Errorf("readiness after the next start: %v", err)
	}
	if err := again.Orders().Commit(t.Context(), reservation("ticket")); err != nil && !errors.Is(err, order.ErrReserved) {
		t.Errorf("a reservation after the next start: %v", err)
	}
}

// Case 10.4: a table that gets its name back, with its indexes under names of
// another spelling.
func TestARenamedTableIsTakenBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	if err := db.Orders().Commit(t.Context(), reservation("ticket")); err != nil {
		t.Fatal(err)
	}
	foreign(t, path, "ALTER TABLE orders RENAME TO away")
	if err := db.Ping(t.Context()); err == nil {
		t.Error("readiness: nothing is missed")
	}
	foreign(t, path, "ALTER TABLE away RENAME TO orders")
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("readiness: %v", err)
	}
	if err := db.Orders().Commit(t.Context(), reservation("ticket")); !errors.Is(err, order.ErrReserved) {
		t.Errorf("one more buyer: %v", err)
	}
	if err := db.Orders().Commit(t.Context(), reservation("another")); err != nil {
		t.Errorf("another ticket: %v", err)
	}
}

// Positions in an outbox that begins anew are behind those of before: a tail
// would pass them over.
func TestATailFollowsAnOutboxThatWasDropped(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	sell := func() {
		t.Helper()
		made := newTicket()
		e := event.Event{Key: made.ID, Subject: event.TicketCreated}
		if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: made, Events: []event.Event{e}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		sell()
	}
	tail, err := db.Outbox().Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	foreign(t, path, "DROP TABLE events")
	sell()
	if wake, err := tail.Next(t.Context()); err != nil || len(wake.Records) != 1 {
		t.Errorf("the tail saw %d events, %v", len(wake.Records), err)
	}
}

func TestTheTotalsOfADroppedQuarantineAreThoseOfTheNewOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	put := func(id string) {
		t.Helper()
		q := listeners.Quarantined{ID: id, Group: "g", Payload: []byte("payload"), Reason: listeners.Failing}
		if err := db.Quarantine().Put(t.Context(), []listeners.Quarantined{q}); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	put("b")
	foreign(t, path, "DROP TRIGGER quarantineAdded")
	put("c")
	foreign(t, path, "DROP TABLE quarantine")
	put("d")
	if size, err := db.Quarantine().Size(t.Context(), "g"); err != nil || size.Messages != 1 {
		t.Errorf("size is %+v, %v, want one message", size, err)
	}
}

// TestTheTotalsOfTheQuarantineStayTrue, whatever another program does to entries,
// at once or with the next start. Case 11.5.
func TestTheTotalsOfTheQuarantineStayTrue(t *testing.T) {
	t.Parallel()
	const entry = "(id, queueGroup, subject, sequence, key, version, payload, reason, detail, at) VALUES ('a', 'g', 's', 1, 'k', 1, x'7B7D7B7D', 'failing', '', 0)"
	for what, tt := range map[string]struct {
		statement string
		sizes     map[string]listeners.Size
		restart   bool // needed
	}{
		"a payload is written":       {"UPDATE quarantine SET payload = x'7B' WHERE id = 'a'", map[string]listeners.Size{"g": {Messages: 2, Bytes: 3}}, false},
		"one changes its group":      {"UPDATE quarantine SET queueGroup = 'h' WHERE id = 'a'", map[string]listeners.Size{"g": {Messages: 1, Bytes: 2}, "h": {Messages: 1, Bytes: 2}}, false},
		"all change their group":     {"UPDATE quarantine SET queueGroup = 'h'", map[string]listeners.Size{"g": {}, "h": {Messages: 2, Bytes: 4}}, false},
		"something else is set":      {"UPDATE quarantine SET detail = 'seen'", map[string]listeners.Size{"g": {Messages: 2, Bytes: 4}}, false},
		"one is replaced":            {"INSERT OR REPLACE INTO quarantine " + entry, map[string]listeners.Size{"g": {Messages: 2, Bytes: 6}}, true},
		"the totals are overwritten": {"UPDATE quarantineTotals SET messages = -7, bytes = 0", map[string]listeners.Size{"g": {Messages: 2, Bytes: 4}}, true},
		"the totals are removed":     {"DELETE FROM quarantineTotals", map[string]listeners.Size{"g": {Messages: 2, Bytes: 4}}, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			db := openFile(t, path)
			for _, id := range []string{"a", "b"} {
				q := listeners.Quarantined{ID: id, Group: "g", Payload: []byte("{}"), Reason: listeners.Failing}
				if err := db.Quarantine().Put(t.Context(), []listeners.Quarantined{q}); err != nil {
					t.Fatal(err)
				}
			}
			foreign(t, path, tt.statement)
			if tt.restart {
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				db = openFile(t, path)
			}
			total := 0
			for group, want := range tt.sizes {
				size, err := db.Quarantine().Size(t.Context(), group)
				if err != nil || size != want {
					t.Errorf("size of %s: %+v, %v; want %+v", group, size, err, want)
				}
				total += want.Messages
			}
			if n, err := db.Quarantine().Count(t.Context()); err != nil || n != total {
				t.Errorf("%d entries, %v; want %d", n, err, total)
			}
		})
	}
}
