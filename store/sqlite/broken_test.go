package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/event"
	"lockstep/internal/group"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/ticket"
)

func openFile(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func newTicket() *ticket.Ticket {
	return &ticket.Ticket{ID: objectid.New(), Title: "a chair", Price: 1, UserID: "owner"}
}

// exec runs statements on the writer's connection, between transactions.
func exec(t *testing.T, db *DB, query string) {
	t.Helper()
	if _, err := db.writer.conn.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// breakCommit makes a change whose statements succeed and whose COMMIT fails,
// as a failing disk would: a deferred foreign key is looked at by COMMIT.
func breakCommit(t *testing.T, db *DB) error {
	t.Helper()
	exec(t, db, "PRAGMA foreign_keys = ON; CREATE TABLE parent (id PRIMARY KEY);"+
		" CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
	return db.do(t.Context(), func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, "INSERT INTO child VALUES (1)")
		return err
	})
}

func TestFailedCommitIsUnknownAndStopsAllWriting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	before := newTicket()
	if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: before}); err != nil {
		t.Fatal(err)
	}
	if err := breakCommit(t, db); !errors.Is(err, group.ErrUnknown) {
		t.Fatalf("failed commit: %v, want group.ErrUnknown", err)
	}
	err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()})
	if !errors.Is(err, group.ErrRefused) || errors.Is(err, ticket.ErrUnknown) {
		t.Errorf("commit afterwards: %v, want ErrRefused", err)
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a store that cannot write reports itself as ready")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := openFile(t, path)
	if _, err := again.Tickets().Ticket(t.Context(), before.ID); err != nil {
		t.Errorf("ticket of before: %v", err)
	}
	if err := again.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); err != nil {
		t.Errorf("commit after a new open: %v", err)
	}
}

func TestPortsReportAFailedCommitAsUnknown(t *testing.T) {
	t.Parallel()
	db := openFile(t, filepath.Join(t.TempDir(), "store.db"))
	exec(t, db, "PRAGMA foreign_keys = ON; CREATE TABLE parent (id PRIMARY KEY);"+
		" CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"+
		" CREATE TRIGGER broken AFTER INSERT ON events BEGIN INSERT INTO child VALUES (1); END")
	made := newTicket()
	e := event.Event{Key: made.ID, Subject: event.TicketCreated}
	err := db.Tickets().Commit(t.Context(), ticket.Change{Now: made, Events: []event.Event{e}})
	if !errors.Is(err, ticket.ErrUnknown) {
		t.Errorf("ticket: %v, want ErrUnknown", err)
	}
	other := openFile(t, filepath.Join(t.TempDir(), "store.db"))
	exec(t, other, "PRAGMA foreign_keys = ON; CREATE TABLE parent (id PRIMARY KEY);"+
		" CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"+
		" CREATE TRIGGER broken AFTER INSERT ON orders BEGIN INSERT INTO child VALUES (1); END")
	err = other.Orders().Commit(t.Context(), order.Change{Now: order.Order{ID: "o", Status: order.Created}})
	if !errors.Is(err, order.ErrUnknown) {
		t.Errorf("order: %v, want ErrUnknown", err)
	}
}

// TestFullDiskFailsTheBatchAndNothingElse bounds the file, so that SQLite ends
// the transaction by itself.
func TestFullDiskFailsTheBatchAndNothingElse(t *testing.T) {
	t.Parallel()
	db := openFile(t, filepath.Join(t.TempDir(), "store.db"))
	exec(t, db, "PRAGMA max_page_count = 60")
	big := newTicket()
	big.Title = strings.Repeat("x", 1<<20)
	errs := db.flush(t.Context(), []change{
		func(ctx context.Context, w *writer) error { return writeTicket(ctx, w, nil, newTicket()) },
		func(ctx context.Context, w *writer) error { return writeTicket(ctx, w, nil, big) },
	})
	stored := 0
	for range db.Tickets().Free(t.Context()) {
		stored++
	}
	for i, err := range errs {
		if err == nil {
			stored--
		} else if errors.Is(err, group.ErrUnknown) {
			t.Errorf("change %d: %v, want an error that says nothing was stored", i, err)
		}
	}
	if stored != 0 || !errors.Is(errs[1], group.ErrRefused) {
		t.Errorf("a full disk: errors %v and %d tickets more than acknowledged", errs, stored)
	}
	if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); err != nil {
		t.Errorf("a small change afterwards: %v", err)
	}
}

// Case 10.17: one that panics behind others leaves nothing of itself, and
// nothing open.
func TestAChangeThatPanicsFailsAlone(t *testing.T) {
	t.Parallel()
	db := openFile(t, filepath.Join(t.TempDir(), "store.db"))
	first, second, last := newTicket(), newTicket(), newTicket()
	errs := db.flush(t.Context(), []change{
		func(ctx context.Context, w *writer) error { return writeTicket(ctx, w, nil, first) },
		func(ctx context.Context, w *writer) error {
			if err := writeTicket(ctx, w, nil, second); err != nil {
				return err
			}
			panic("of a test")
		},
		func(ctx context.Context, w *writer) error { return writeTicket(ctx, w, nil, last) },
	})
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors %v, want that of the second alone", errs)
	}
	var stored []string
	for made, err := range db.Tickets().Free(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, made.ID)
	}
	if want := []string{first.ID, last.ID}; !slices.Equal(stored, want) {
		t.Errorf("stored %v, want %v", stored, want)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	exec(t, db, "PRAGMA user_version = 99")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("open of a newer schema: %v, want a sentence that says so", err)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	t.Parallel()
	db := openFile(t, filepath.Join(t.TempDir(), "store.db"))
	if _, err := db.read.pool.ExecContext(t.Context(), "DELETE FROM events"); err == nil {
		t.Error("a connection of the read pool has written")
	}
}

func TestReadInProgressDoesNotHoldUpCommits(t *testing.T) {
	t.Parallel()
	db := openFile(t, filepath.Join(t.TempDir(), "store.db"))
	for range 3 {
		if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := db.read.pool.QueryContext(t.Context(), "SELECT id FROM tickets")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); err != nil {
			t.Errorf("commit while row %d is being read: %v", n, err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
}
