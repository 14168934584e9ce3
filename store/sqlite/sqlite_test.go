package sqlite_test

import (
	"path/filepath"
	"testing"

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
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
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
		Reopen: func(t *testing.T) storetest.Backend {
			t.Helper()
			if err := db.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			return backend(t, path)
		},
	}
}
