package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/replica"
	"lockstep/ticket"
)

// anyValue lets the columns of a table hold values of any type, NULL too, as
// those of a file that was recovered or rebuilt by another program.
func anyValue(t *testing.T, path string, tables ...string) {
	t.Helper()
	for _, table := range tables {
		foreign(t, path, "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(replace(replace(replace(sql, ' NOT NULL', ''), ' INTEGER,', ','), ' TEXT,', ','), ' REAL,', ',')"+
			" WHERE type = 'table' AND name = '"+table+"'; PRAGMA writable_schema = RESET")
	}
}

// Case 10.7: a value that a CAST gives its meaning is read, and stays writable.
func TestValuesOfOtherTypesAreRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	if err := openFile(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	anyValue(t, path, "tickets", "replica", "orders")
	db := openFile(t, path)
	for set, want := range map[string]ticket.Ticket{
		"price = '20.5'":      {Title: "a", Price: 20.5, UserID: "ann"},
		"price = x'32302e35'": {Title: "a", Price: 20.5, UserID: "ann"},
		"price = 20":          {Title: "a", Price: 20, UserID: "ann"},
		"title = x'62'":       {Title: "b", Price: 1, UserID: "ann"},
		"title = 7":           {Title: "7", Price: 1, UserID: "ann"},
		"userId = 12":         {Title: "a", Price: 1, UserID: "12"},
		"version = '3'":       {Title: "a", Price: 1, UserID: "ann", Version: 3},
		"version = 3.0":       {Title: "a", Price: 1, UserID: "ann", Version: 3},
		"version = x'33'":     {Title: "a", Price: 1, UserID: "ann", Version: 3},
		"revision = '3'":      {Title: "a", Price: 1, UserID: "ann", Revision: 3},
	} {
		want.ID = objectid.New()
		foreign(t, path, "INSERT INTO tickets (id, title, price, userId, version, orderId, deleted, revision) VALUES ('"+want.ID+"', 'a', 1, 'ann', 0, '', 0, 0)",
			"UPDATE tickets SET "+set+" WHERE id = '"+want.ID+"'")
		got, err := db.Tickets().Ticket(t.Context(), want.ID)
		if err != nil || got != want {
			t.Errorf("%s: ticket %+v, %v, want %+v", set, got, err, want)
			continue
		}
		now := got
		now.Version++
		if err := db.Tickets().Commit(t.Context(), ticket.Change{Was: &got, Now: &now}); err != nil {
			t.Errorf("%s: edit: %v", set, err)
		}
	}
	row := replica.Row{ID: objectid.New(), Version: 1, Title: "b", Price: 2}
	bought := order.Order{ID: objectid.New(), UserID: "u", Status: order.Created, TicketID: "t"}
	foreign(t, path, "INSERT INTO replica VALUES ('"+row.ID+"', '0', 'a', 1, '', 0)",
		"INSERT INTO orders (id, userId, status, expiresAt, ticketId, price, version) VALUES ('"+bought.ID+"', 'u', 'created', '0', 't', '0', '0')")
	if n, err := db.Replica().Write(t.Context(), []replica.Write{{From: 0, Row: row}}); n != 1 || err != nil {
		t.Errorf("%d rows with a version in digits are written, %v", n, err)
	}
	cancelled := bought
	cancelled.Status, cancelled.Version = order.Cancelled, 1
	if err := db.Orders().Commit(t.Context(), order.Change{Was: &bought, Now: cancelled}); err != nil {
		t.Errorf("an order with a version in digits: %v", err)
	}
}

// Case 10.7: what no CAST gives a meaning is left out, named once and counted.
func TestRowsThatCannotBeReadAreNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	if err := openFile(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	anyValue(t, path, "tickets")
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	db, err := Open(t.Context(), path, Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sets := []string{
		"price = 'dear'", "price = NULL", "price = 9e999", "price = -9e999", "price = 'NaN'", "price = x'ff'", "title = NULL", "title = x'ff'",
		"userId = NULL", "version = 'three'", "version = '03'", "version = 1.5", "version = 1e300", "version = NULL", "version = x'00'",
		"revision = NULL", "id = x'61'",
	}
	for i, set := range sets {
		foreign(t, path, fmt.Sprintf("INSERT INTO tickets (id, title, price, userId, version, orderId, deleted, revision) VALUES ('id%d', 'a', 1, 'ann', 0, '', 0, 0)", i),
			fmt.Sprintf("UPDATE tickets SET %s WHERE id = 'id%d'", set, i))
	}
	good := newTicket()
	if err := db.Tickets().Commit(t.Context(), ticket.Change{Now: good}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var free []string
		for f, err := range db.Tickets().Free(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			free = append(free, f.ID)
		}
		if len(free) != 1 || free[0] != good.ID {
			t.Errorf("free tickets %v, want %s alone", free, good.ID)
		}
		page, err := db.Tickets().Page(t.Context(), "", 10)
		if err != nil || len(page) != 1 {
			t.Errorf("page %v, %v", page, err)
		}
		if next, err := db.Tickets().Page(t.Context(), "zzz", 10); err != nil || len(next) != 0 {
			t.Errorf("page behind the last %v, %v: it would be read for ever", next, err)
		}
	}
	for i := range len(sets) - 1 {
		id := fmt.Sprint("id", i)
		if _, err := db.Tickets().Ticket(t.Context(), id); !errors.Is(err, ticket.ErrUnreadable) {
			t.Errorf("%s: %v, want ErrUnreadable", sets[i], err)
		}
		if n := strings.Count(log.String(), "id="+id+" "); n != 1 {
			t.Errorf("%s is named %d times", id, n)
		}
	}
	if !strings.Contains(log.String(), " id=x'61' ") || !strings.Contains(log.String(), `name \"price\": \"dear\" is no number`) {
		t.Errorf("the log does not say what is wrong with which row:\n%s", log.String())
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 2 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	for _, m := range families[1].GetMetric() { // by name
		if want := float64(len(sets)); m.GetLabel()[0].GetValue() == "tickets" && m.GetGauge().GetValue() != want {
			t.Errorf("%v rows are counted, want %v", m.GetGauge().GetValue(), want)
		}
	}
}

// Case 10.7: more orders than a page holds end at a time that is no whole
// number.
func TestOverdueOrdersOfForeignTimesAreYieldedOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	const n = 2 * pageRows
	foreign(t, path, "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 1000)"+
		" INSERT INTO orders (id, userId, status, expiresAt, ticketId, price, version) SELECT 'id' || n, 'u', 'created', 1000.5, 't' || n, 'dear', 0 FROM i",
		"UPDATE orders SET id = x'61' WHERE id = 'id7'")
	seen := map[string]bool{}
	for d, err := range db.Orders().Expired(t.Context(), time.Now()) {
		if err != nil || seen[d.OrderID] {
			t.Fatalf("order %s again, %v", d.OrderID, err)
		}
		seen[d.OrderID] = true
	}
	if len(seen) != n || !seen["x'61'"] {
		t.Errorf("%d overdue orders, want %d with the one whose id is no text", len(seen), n)
	}
}

// Case 10.7: a page goes on behind the id of its last row, so that must be the
// one that it is sorted by.
func TestPaymentsOfForeignIDsEndTheList(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	foreign(t, path, "INSERT INTO payments VALUES ('zzz', 'a', 'b', '', '', '', 1, 'paid_twice', 1, 0)")
	if got, err := db.Orders().Refunds(t.Context(), true, "a:b", 10); err != nil || len(got) != 0 {
		t.Errorf("refunds %v, %v, want none", got, err)
	}
}

// Case 10.7: an overdue order is found whatever its time is, and one that does
// not say when it ends is found and not taken for overdue.
func TestOverdueOrdersOfForeignTimesAreFound(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	if err := openFile(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	anyValue(t, path, "orders")
	db := openFile(t, path)
	now := time.Now()
	past, none := time.UnixMilli(1000).UTC(), time.Time{}
	want := map[string]time.Time{}
	for i, c := range []struct {
		set   string
		end   time.Time
		found bool
	}{
		{"1000", past, true}, {"1000.5", past, true}, {"'1000'", past, true}, {"x'31303030'", past, true}, {"0", time.UnixMilli(0).UTC(), true},
		{"NULL", none, true}, {"'noon'", none, true}, {"x'ff'", none, true}, {"''", none, true}, {"-9e999", none, true},
		{fmt.Sprint(now.Add(time.Hour).UnixMilli()), none, false}, {fmt.Sprintf("'%d'", now.Add(time.Hour).UnixMilli()), none, false},
	} {
		id := fmt.Sprint("id", i)
		foreign(t, path, fmt.Sprintf("INSERT INTO orders (id, userId, status, expiresAt, ticketId, price, version) VALUES ('%s', 'u', 'created', %s, '%s', 1, 0)", id, c.set, id))
		if c.found {
			want[id] = c.end
		}
	}
	got := map[string]time.Time{}
	for d, err := range db.Orders().Expired(t.Context(), now) {
		if err != nil {
			t.Fatal(err)
		}
		got[d.OrderID] = d.ExpiresAt
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("overdue orders (-want +got):\n%s", diff)
	}
}

// Case 10.7: a negative version is none, and neither is a status that the index of active orders does not see.
func TestNegativeVersionsAndUnknownStatusesAreUnreadable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	for i, set := range []string{"-1", "-9223372036854775808", "1e300", "1.5", "'1e3x'", "x'2d31'"} {
		id := fmt.Sprint("id", i)
		foreign(t, path, "INSERT INTO tickets (id, title, price, userId, version, orderId, deleted, revision) VALUES ('"+id+"', 'a', 1, 'ann', "+set+", '', 0, 0)",
			"INSERT INTO replica VALUES ('"+id+"', "+set+", 'a', 1, '', 0)")
		if _, err := db.Tickets().Ticket(t.Context(), id); !errors.Is(err, ticket.ErrUnreadable) {
			t.Errorf("version %s: %v", set, err)
		}
		row := replica.Row{ID: id, Version: 3, Title: "b", Price: 2}
		if n, err := db.Replica().Write(t.Context(), []replica.Write{{Row: row, Unreadable: true}}); n != 1 || err != nil {
			t.Errorf("version %s: %d rows were overwritten, %v", set, n, err)
		}
		if got, err := db.Replica().Row(t.Context(), id); err != nil || got != row {
			t.Errorf("version %s: row %+v, %v", set, got, err)
		}
	}
	for i, set := range []string{"status = 'paid'", "status = ''", "status = x'63726561746564'", "ticketId = x'74'"} {
		id := fmt.Sprint("o", i)
		foreign(t, path, "INSERT INTO orders (id, userId, status, expiresAt, ticketId, price, version) VALUES ('"+id+"', 'u', 'cancelled', 1, 't', 1, 0)",
			"UPDATE orders SET "+set+" WHERE id = '"+id+"'")
		if _, err := db.Orders().Order(t.Context(), id); !errors.Is(err, order.ErrUnreadable) {
			t.Errorf("%s: %v", set, err)
		}
	}
}
