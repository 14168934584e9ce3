package sqlite

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/group"
	"lockstep/ticket"
)

// Case 10.10: a commit into a file that has lost its name is gone with the
// next start.
func TestWritingStopsWhenAFileIsTakenAway(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		for what, take := range map[string]func(t *testing.T, path string){
			"deleted": func(t *testing.T, path string) { remove(t, path) },
			"moved":   func(t *testing.T, path string) { rename(t, path, path+".away") },
			"replaced": func(t *testing.T, path string) {
				if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
					t.Fatal(err)
				}
				rename(t, path+".new", path)
			},
		} {
			t.Run("store.db"+suffix+" is "+what, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "store.db")
				db := openFile(t, path)
				if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); err != nil {
					t.Fatal(err)
				}
				if err := db.Ping(t.Context()); err != nil {
					t.Fatalf("before: %v", err)
				}
				settle(t, db)
				take(t, path+suffix)
				if tail, err := db.Outbox().Tail(t.Context()); !errors.Is(err, group.ErrRefused) {
					t.Errorf("a new connection: %v, %v, want ErrRefused: it would be to another file", tail, err)
				}
				if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); !errors.Is(err, ticket.ErrUnknown) {
					t.Errorf("the first commit: %v, want ErrUnknown", err)
				}
				if err := db.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), path+suffix) {
					t.Errorf("readiness says %v, want it to name the file", err)
				}
				refused := func(what string, err error) {
					t.Helper()
					if !errors.Is(err, group.ErrRefused) || !strings.Contains(err.Error(), "writing has stopped") {
						t.Errorf("%s: %v, want a refusal", what, err)
					}
				}
				refused("the next commit", db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}))
				// Case 11.10: figures of what has no name are nobody's.
				_, err := db.Outbox().Stats(t.Context())
				refused("what waits", err)
				_, err = db.Replica().Count(t.Context())
				refused("rows", err)
				_, err = db.Quarantine().Count(t.Context())
				refused("quarantine", err)
				for _, err = range db.Orders().Expired(t.Context(), time.Now()) {
					break
				}
				refused("overdue orders", err)
			})
		}
	}
}

// Case 10.10: another program writes into a file, whose pages the engine has in
// memory: everything seems to work until the next start.
func TestWritingStopsWhenAFileIsOverwritten(t *testing.T) {
	t.Parallel()
	garbage := bytes.Repeat([]byte("garbage "), 1<<19)
	for what, write := range map[string]func(path string, db, log []byte) error{
		"by garbage":               func(path string, _, _ []byte) error { return os.WriteFile(path, garbage, 0o600) },
		"by nothing":               func(path string, _, _ []byte) error { return os.Truncate(path, 0) },
		"by an older copy":         func(path string, db, _ []byte) error { return os.WriteFile(path, db, 0o600) },
		"by a copy that is as new": func(path string, _, _ []byte) error { return copyOver(path) },
		"its log by garbage":       func(path string, _, _ []byte) error { return os.WriteFile(path+"-wal", garbage, 0o600) },
		"its log by nothing":       func(path string, _, _ []byte) error { return os.Truncate(path+"-wal", 0) },
		"its log by an older copy": func(path string, _, log []byte) error { return os.WriteFile(path+"-wal", log, 0o600) },
	} {
		for _, told := range []string{"readiness", "a commit"} {
			t.Run(what+", "+told, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "store.db")
				db := openFile(t, path)
				grow(t, db, 24) // the log is written to the database on the way
				old, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				oldLog, err := os.ReadFile(path + "-wal")
				if err != nil {
					t.Fatal(err)
				}
				grow(t, db, 1)
				if err := db.Ping(t.Context()); err != nil {
					t.Fatalf("before: %v", err)
				}
				if err := write(path, old, oldLog); err != nil {
					t.Fatal(err)
				}
				if told == "a commit" {
					if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); !errors.Is(err, ticket.ErrUnknown) && !errors.Is(err, group.ErrRefused) {
						t.Errorf("a commit: %v, want that it is not known what became of it", err)
					}
				}
				if err := db.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "writing has stopped") {
					t.Errorf("readiness says %v", err)
				}
				if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); !errors.Is(err, group.ErrRefused) {
					t.Errorf("a commit afterwards: %v, want a refusal", err)
				}
			})
		}
	}
}

func copyOver(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// Other programs may write through the engine, and write its log back.
func TestOtherProgramsMayWriteThroughTheEngine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	for range 3 {
		grow(t, db, 9)
		foreign(t, path, "UPDATE tickets SET price = price + 1", "PRAGMA wal_checkpoint(PASSIVE)", "CREATE TABLE notes (note TEXT)",
			"PRAGMA wal_checkpoint(TRUNCATE)", "DROP TABLE notes", "VACUUM")
		grow(t, db, 1)
		if err := db.Ping(t.Context()); err != nil {
			t.Errorf("readiness: %v", err)
		}
	}
}

// grow writes n tickets of a megabyte.
func grow(t *testing.T, db *DB, n int) {
	t.Helper()
	for range n {
		big := newTicket()
		big.Title = strings.Repeat("x", 1<<20)
		if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: big}); err != nil {
			t.Fatal(err)
		}
	}
}

// Case 10.16: what the file refuses is no failure of the statement, whoever runs
// into it.
func TestAFileThatIsNoDatabaseRefusesReadsAndWrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	stored := newTicket()
	commit := func() error { return db.Tickets().Commit(t.Context(), ticket.Change{Now: stored}) }
	read := func() error {
		_, err := db.Tickets().Ticket(t.Context(), stored.ID)
		return err
	}
	list := func() (err error) {
		for _, err = range db.Tickets().Free(t.Context()) {
		}
		return err
	}
	if err := errors.Join(commit(), read(), list()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.writer.conn.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("garbage "), 1<<14), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read(); !errors.Is(err, group.ErrRefused) {
		t.Errorf("a read: %v, want ErrRefused", err)
	}
	if err := list(); !errors.Is(err, group.ErrRefused) {
		t.Errorf("a list: %v, want ErrRefused", err)
	}
	_ = commit() // notices it
	if err := commit(); !errors.Is(err, group.ErrRefused) {
		t.Errorf("a commit: %v, want ErrRefused", err)
	}
}

// A file that is named by a link is one file, locked under both names.
func TestALinkLeadsToTheSameFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "store.db"), filepath.Join(t.TempDir(), "link.db")
	if err := openFile(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	db := openFile(t, link)
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("by its other name: %v, want ErrInUse", err)
	}
	other := filepath.Join(dir, "other.db")
	if err := openFile(t, other).Close(); err != nil {
		t.Fatal(err)
	}
	remove(t, link)
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), link+" was replaced") {
		t.Errorf("readiness says %v, want it to name the link", err)
	}
}

// settle brings db to where its commits look at the directory alone.
func settle(t *testing.T, db *DB) {
	t.Helper()
	for range 2 { // the first commit looks for the first time
		if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); err != nil {
			t.Fatal(err)
		}
		db.writer.directory.since = time.Now().Add(-2 * coarsest)
	}
	if !db.writer.directory.known {
		t.Fatal("commits still look at every file")
	}
}

// A directory's time cannot tell two changes within one tick apart.
func TestADirectoryIsTrustedOnlyWhenItHasBeenStill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	settle(t, db)
	if err := os.WriteFile(path+".backup", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); err != nil {
		t.Fatalf("another file came into the directory: %v", err)
	}
	if db.writer.directory.known {
		t.Error("a directory that changed just now is trusted")
	}
}

func TestALockOfAnotherProgramIsSeenAndOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	other, err := connect(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lock := func(statement string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, db, "PRAGMA busy_timeout = 1")
	lock("BEGIN IMMEDIATE")
	if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); !errors.Is(err, group.ErrRefused) || errors.Is(err, ticket.ErrUnknown) {
		t.Errorf("commit under a foreign lock: %v, want ErrRefused", err)
	}
	if err := db.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "another program has locked the file") {
		t.Errorf("readiness under a foreign lock: %v", err)
	}
	lock("ROLLBACK")
	if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: newTicket()}); err != nil {
		t.Errorf("commit afterwards: %v", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("readiness afterwards: %v", err)
	}
}

// Case 10.16: a log that could not be checkpointed behind a long read.
func TestALogThatGrewIsCutBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	grow(t, db, 4)
	read, err := db.read.pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"BEGIN", "SELECT count(*) FROM tickets"} {
		if _, err := read.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	grow(t, db, 96)
	if size := sizeOf(t, path+"-wal"); size < 90<<20 {
		t.Fatalf("the log has %d bytes behind a read, want the case to be real", size)
	}
	if _, err := read.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	grow(t, db, 12)
	if size := sizeOf(t, path+"-wal"); size > 68<<20 {
		t.Errorf("the log keeps %d bytes", size)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
