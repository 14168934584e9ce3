package mongodb_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/test/storetest"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(asVictim); what != "" {
		fmt.Println(victim(context.Background(), what)) // reached only if it could not be held up
		os.Exit(1)
	}
	os.Exit(mongotest.Run(m))
}

func TestStore(t *testing.T) {
	set := mongotest.Shared(t)
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		return backend(t, set.URI(set.Database(t)))
	})
}

// open opens a database and closes it at the end of the test.
func open(t testing.TB, uri string, o mongodb.Options) *mongodb.DB {
	t.Helper()
	db, err := mongodb.Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func backend(t *testing.T, uri string) storetest.Backend {
	t.Helper()
	db := open(t, uri, mongodb.Options{})
	return storetest.Backend{
		Tickets: db.Tickets(), Orders: db.Orders(), Replica: db.Replica(), OrderTickets: db.OrderTickets(),
		Outbox: db.Outbox(), Quarantine: db.Quarantine(), Marks: db.Marks(), Incidents: db.Incidents(),
		Reopen: func(t *testing.T) storetest.Backend {
			t.Helper()
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			return backend(t, uri)
		},
	}
}
