package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lockstep/event"
	"lockstep/internal/group"
	"lockstep/listeners"
	"lockstep/ticket"
)

// wantUnready wants readiness to say all of the words.
func wantUnready(t *testing.T, db *DB, words ...string) {
	t.Helper()
	err := db.Ping(t.Context())
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("readiness: %v, want %q", err, w)
		}
	}
}

func wantReady(t *testing.T, db *DB) {
	t.Helper()
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("readiness: %v", err)
	}
	if err := db.Tickets().Commit(t.Context(), creation()); err != nil {
		t.Errorf("a ticket: %v", err)
	}
}

func creation() ticket.Change {
	made := newTicket()
	return ticket.Change{Now: made, Events: []event.Event{{Key: made.ID, Subject: event.TicketCreated, Payload: []byte("{}")}}}
}

// Case 10.4, its kind: a table that is there and does not take what is written
// to it, whichever it is, by the trigger of another program.
func TestATriggerThatRefusesIsNoticed(t *testing.T) {
	t.Parallel()
	all, err := wanted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if o.kind != "table" {
			continue
		}
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			db := openFile(t, path)
			for _, trigger := range []string{
				"BEFORE INSERT ON %s BEGIN SELECT RAISE(ABORT, 'no'); END",
				"AFTER UPDATE ON %s BEGIN SELECT RAISE(FAIL, 'no'); END",
				"BEFORE DELETE ON %s BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
				"BEFORE INSERT ON %s BEGIN SELECT RAISE(IGNORE); END",
			} {
				foreign(t, path, "CREATE TRIGGER stranger "+strings.ReplaceAll(trigger, "%s", o.name))
				wantUnready(t, db, "table "+o.name+" does not take what the service writes to it", "DROP TRIGGER stranger")
				wantStoredOrRefused(t, db)
				foreign(t, path, "DROP TRIGGER stranger")
				wantReady(t, db)
			}
		})
	}
}

// wantStoredOrRefused wants a ticket to be stored with its event, or refused with
// neither; and a message to be set aside, or refused.
func wantStoredOrRefused(t *testing.T, db *DB) {
	t.Helper()
	c := creation()
	failed := db.Tickets().Commit(t.Context(), c)
	if failed != nil && (!errors.Is(failed, group.ErrRefused) || errors.Is(failed, ticket.ErrConflict)) {
		t.Errorf("a ticket: %v, want a refusal", failed)
	}
	_, err := db.Tickets().Ticket(t.Context(), c.Now.ID)
	events, listed := db.Outbox().Key(t.Context(), c.Now.ID, event.None, 9)
	if listed != nil || (err == nil) != (failed == nil) || (len(events) == 1) != (failed == nil) {
		t.Errorf("answered %v; the ticket: %v; %d events, %v", failed, err, len(events), listed)
	}
	aside := listeners.Quarantined{ID: c.Now.ID, Group: "g", Subject: event.TicketCreated, Reason: listeners.Failing}
	failed = db.Quarantine().Put(t.Context(), []listeners.Quarantined{aside})
	if failed != nil && !errors.Is(failed, group.ErrRefused) {
		t.Errorf("a message: %v, want a refusal", failed)
	}
	if _, err := db.Quarantine().Get(t.Context(), aside.ID); (err == nil) != (failed == nil) {
		t.Errorf("set aside: %v; there: %v", failed, err)
	}
}

// Case 10.4, its kind: the same by other columns, constraints and indexes, while
// the service runs and at its start.
func TestATableThatIsAnotherIsNoticed(t *testing.T) {
	t.Parallel()
	const columns = "seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, price REAL NOT NULL, userId TEXT NOT NULL," +
		" version INTEGER NOT NULL, orderId TEXT NOT NULL, deleted INTEGER NOT NULL, revision INTEGER NOT NULL"
	for what, tc := range map[string]struct {
		statements []string
		says       string
	}{
		"one more column":   {[]string{"CREATE TABLE tickets (" + columns + ", venue TEXT NOT NULL)"}, "NOT NULL constraint failed: tickets.venue"},
		"one column less":   {[]string{"CREATE TABLE tickets (" + columns + ")", "ALTER TABLE tickets DROP COLUMN price"}, "no column named price"},
		"a constraint":      {[]string{"CREATE TABLE tickets (" + columns + ", CHECK (version > 0))"}, "CHECK constraint failed"},
		"a unique index":    {[]string{"CREATE TABLE tickets (" + columns + ")", "CREATE UNIQUE INDEX titles ON tickets (title)"}, "DROP INDEX titles"},
		"a view":            {[]string{"CREATE VIEW tickets AS SELECT * FROM away"}, "table tickets was dropped, renamed or replaced"},
		"a view with hands": {[]string{"CREATE VIEW tickets AS SELECT * FROM away", "CREATE TRIGGER hands INSTEAD OF INSERT ON tickets BEGIN SELECT 1; END"}, "table tickets was dropped, renamed or replaced"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			db := openFile(t, path)
			foreign(t, path, append([]string{"ALTER TABLE tickets RENAME TO away"}, tc.statements...)...)
			wantUnready(t, db, tc.says)
			wantNothingAnswered(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openFile(t, path)
			wantUnready(t, db, tc.says)
			wantNothingAnswered(t, db)
			kind := "TABLE"
			if strings.HasPrefix(what, "a view") {
				kind = "VIEW"
			}
			foreign(t, path, "DROP "+kind+" tickets", "ALTER TABLE away RENAME TO tickets")
			wantReady(t, db)
		})
	}
}

// wantNothingAnswered wants no success of a ticket that is not there.
func wantNothingAnswered(t *testing.T, db *DB) {
	t.Helper()
	c := creation()
	if err := db.Tickets().Commit(t.Context(), c); err != nil {
		return
	}
	if _, err := db.Tickets().Ticket(t.Context(), c.Now.ID); err != nil {
		t.Errorf("answered, and not there: %v", err)
	}
}

// Opening writes to the leases.
func TestAStartSaysWhichTableDoesNotTakeIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	if _, _, err := db.Outbox().Acquire(t.Context(), "a", "a", 1); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	foreign(t, path, "CREATE TRIGGER stranger BEFORE UPDATE ON leases BEGIN SELECT RAISE(ABORT, 'no'); END")
	if db, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), "DROP TRIGGER stranger") {
		t.Errorf("opened %v: %v", db, err)
	}
}

// A trigger that only looks on is none of our business.
func TestATriggerThatLooksOnIsLeft(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	foreign(t, path, "CREATE TABLE audit (title TEXT)", "CREATE TRIGGER stranger AFTER INSERT ON tickets BEGIN INSERT INTO audit VALUES (NEW.title); END",
		"CREATE INDEX titles ON tickets (title)")
	wantReady(t, db)
	n, err := one(t.Context(), db.read, nil, number, "SELECT count(*) FROM audit")
	if err != nil || n != 1 {
		t.Errorf("it saw %d tickets, %v; want the one that was stored", n, err)
	}
}

// A table that takes only some refuses the others alone.
func TestOneRefusedRowSpoilsNobody(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	foreign(t, path, "CREATE TRIGGER stranger BEFORE INSERT ON tickets WHEN NEW.price > 100 BEGIN SELECT RAISE(ABORT, 'no'); END")
	var sellers sync.WaitGroup
	for i := range 16 {
		sellers.Go(func() {
			c := creation()
			if c.Now.Price = float64(10 + 100*(i%2)); c.Now.Price > 100 {
				if err := db.Tickets().Commit(t.Context(), c); !errors.Is(err, group.ErrRefused) || errors.Is(err, group.ErrUnknown) {
					t.Errorf("a ticket: %v, want a refusal", err)
				}
			} else if err := db.Tickets().Commit(t.Context(), c); err != nil {
				t.Errorf("a neighbour: %v", err)
			}
		})
	}
	sellers.Wait()
	wantReady(t, db)
}

// Case 10.16, its kind: a file that cannot be written is no table that refuses.
func TestAFileThatCannotBeWrittenIsNotOpened(t *testing.T) {
	t.Parallel()
	for what, bar := range map[string]func(path string) error{
		"its log is something else": func(path string) error { return os.Mkdir(path+"-wal", 0o700) },
		"it is another user's":      func(path string) error { return os.Chmod(path, 0o400) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			if err := openFile(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			if err := bar(path); err != nil {
				t.Fatal(err)
			}
			if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil && what == "it is another user's" {
				t.Skip("this user may write everything: ", f.Close())
			}
			db, err := Open(t.Context(), path, Options{})
			if err == nil || !strings.Contains(err.Error(), "give all of them to the user that this process runs as") {
				t.Errorf("opened %v: %v", db, err)
			}
		})
	}
}
