package sqlite

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/order"
	"lockstep/ticket"
)

// refusal returns why a file is not opened.
func refusal(t *testing.T, path string, s Service) string {
	t.Helper()
	db, err := Open(t.Context(), path, Options{Service: s, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		return ""
	}
	return err.Error()
}

// Case 10.5: as on MongoDB, a service does not begin anew in the file of the
// other one, which a restore has put in the place of its own.
func TestTheFileOfTheOtherServiceIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db := openFile(t, path)
	made := ticket.Ticket{ID: "t", Title: "a", Price: 1, UserID: "u"}
	if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: &made}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if why := refusal(t, path, OrderService); !strings.Contains(why, "belongs to a tickets service") {
		t.Errorf("orders in the file of tickets: %q", why)
	}
	if why := refusal(t, path, TicketService) + refusal(t, path, Both); why != "" {
		t.Errorf("tickets in their own file: %s", why)
	}
	path = filepath.Join(t.TempDir(), "b.db")
	db = openFile(t, path)
	if err := db.Orders().Commit(t.Context(), order.Change{Now: order.Order{ID: "o", UserID: "u", Status: order.Created, TicketID: "t"}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if why := refusal(t, path, TicketService); !strings.Contains(why, "belongs to an orders service") {
		t.Errorf("tickets in the file of orders: %q", why)
	}
	foreign(t, path, "INSERT INTO tickets (id, title, price, userId, version, orderId, deleted, revision) VALUES ('x', 't', 1, 'u', 0, '', 0, 0)")
	if why := refusal(t, path, OrderService); why != "" {
		t.Errorf("orders in their own file with a foreign row: %s", why)
	}
}

// Case 10.10: what was committed last is in the log, which the engine deletes if
// it finds no database beside it.
func TestALogWithoutItsDatabaseIsKept(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(string) error{
		"gone": os.Remove, "empty": func(path string) error { return os.Truncate(path, 0) },
	} {
		path := filepath.Join(t.TempDir(), "store.db")
		if err := openFile(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+"-wal", []byte("frames"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		if why := refusal(t, path, Both); !strings.Contains(why, "put the file back") {
			t.Errorf("%s: %q", what, why)
		}
		if kept, err := os.ReadFile(path + "-wal"); err != nil || string(kept) != "frames" {
			t.Errorf("%s: log %q, %v", what, kept, err)
		}
	}
}

// Case 10.10: a database that was there once does not begin anew without a word.
func TestADatabaseThatBeginsAnewIsTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	for i, want := range []bool{false, false, true} {
		if i == 2 {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		var log bytes.Buffer
		db, err := Open(t.Context(), path, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(log.String(), "begun anew"); told != want {
			t.Errorf("start %d: told %t, want %t", i, told, want)
		}
	}
}

// Case 10.7: whatever another program has made of the file, a sentence says so.
func TestAFileThatIsNoStoreIsRefusedInASentence(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"a negative schema": {func(t *testing.T, path string) { foreign(t, path, "PRAGMA user_version = -1") }, "schema version -1 was written by no release"},
		"a text": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("hello "), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "restore a backup"},
	} {
		path := filepath.Join(t.TempDir(), "store.db")
		if err := openFile(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		c.spoil(t, path)
		if why := refusal(t, path, Both); !strings.Contains(why, c.want) {
			t.Errorf("%s: %q, want %q", what, why, c.want)
		}
	}
	for n := range int64(9) {
		path := filepath.Join(t.TempDir(), fmt.Sprint(n, ".db"))
		if err := openFile(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, n); err != nil {
			t.Fatal(err)
		}
		if why := refusal(t, path, Both); why != "" && !strings.Contains(why, "restore a backup") {
			t.Errorf("%d bytes: %q", n, why)
		}
	}
}
