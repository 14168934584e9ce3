package sqlite_test

import (
	"database/sql"
	"hash/crc32"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/event"
	"lockstep/store/sqlite"
	"lockstep/test/storetest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		return backend(t, filepath.Join(t.TempDir(), "store.db"))
	})
}

// open opens a file for the length of the test.
func open(t *testing.T, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Log: slog.New(slog.DiscardHandler)})
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

func backend(t *testing.T, path string) storetest.Backend {
	t.Helper()
	db := open(t, path)
	return storetest.Backend{
		Tickets: db.Tickets(), Orders: db.Orders(), Replica: db.Replica(), OrderTickets: db.OrderTickets(),
		Outbox: db.Outbox(), Quarantine: db.Quarantine(), Marks: db.Marks(), Incidents: db.Incidents(),
		Foreign: func(t *testing.T, key string) int { return foreign(t, path, key) },
		Careless: func(t *testing.T, e event.Event) {
			t.Helper()
			execute(t, path, "INSERT INTO events (keyHash, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload)"+
				" VALUES (?, ?, ?, ?, 'noon', 1, 0, 0, 0, 'null', ?)", int64(crc32.ChecksumIEEE([]byte(e.Key))), e.Key, e.Version, string(e.Subject), string(e.Payload))
		},
		Spoil: func(t *testing.T, table, id string) { spoil(t, path, table, id) },
		Reopen: func(t *testing.T) storetest.Backend {
			t.Helper()
			if err := db.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			return backend(t, path)
		},
	}
}

// foreign writes rows that are no events.
func foreign(t *testing.T, path, key string) int {
	t.Helper()
	hash := int64(crc32.ChecksumIEEE([]byte(key)))
	rows := [][]any{ // version, subject, isLocked, notBefore, payload
		{"first", "s", 1, 0, []byte("{}")},
		{1.5, "s", 1, 0, []byte("{}")},
		{1, []byte("s"), 1, 0, []byte("{}")},
		{-5, "s", 1, 0, []byte("{}")},
		{int64(1<<53 + 1), "s", 1, 0, []byte("{}")},
		{1, "s", 1, 0, 17},
		{1, "s2", "yes", 0, []byte("{}")},
		{1, "s3", 0, "tomorrow", []byte("{}")},
	}
	for _, r := range rows {
		execute(t, path, "INSERT INTO events (keyHash, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload)"+
			" VALUES (?, ?, ?, ?, 1, ?, 1, ?, 1, '[', ?)", append([]any{hash, key}, r...)...)
	}
	return len(rows)
}

// spoil puts a text where a number belongs.
func spoil(t *testing.T, path, table, id string) {
	t.Helper()
	set := map[string]string{
		"tickets": "price = 'dear' WHERE id", "orders": "price = 'dear' WHERE id", "replica": "price = 'dear' WHERE id",
		"payments": "price = 'dear' WHERE id", "locks": "version = 'dear' WHERE orderId", "quarantine": "sequence = 'dear' WHERE id",
		"incidents": "count = 'dear' WHERE id", "marks": "sequence = 'dear' WHERE queueGroup",
		"leases":          "epoch = 'dear', expiresAt = 'dear' WHERE name",
		"replica version": "version = 'dear' WHERE id",
	}[table]
	table, _, _ = strings.Cut(table, " ")
	execute(t, path, "UPDATE "+table+" SET "+set+" = ?", id)
}

// execute writes as another program.
func execute(t *testing.T, path, statement string, args ...any) {
	t.Helper()
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}
