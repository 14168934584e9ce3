package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/outbox"
)

// TestEventsOfAnOlderFileAreKept opens a file of the first schema in which
// events wait.
func TestEventsOfAnOlderFileAreKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	pool, err := connect(path, 1, writerPragmas()...)
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{schema, "PRAGMA user_version = 1"}
	for v := range 3 {
		for _, key := range []string{"a", "b"} {
			statements = append(statements, fmt.Sprintf(
				"INSERT INTO events (id, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload)"+
					" VALUES ('%[1]s:%[2]d:s', '%[1]s', %[2]d, 's', 1000, %[3]d, 2000, 0, 0, '[]', x'7B7D')", key, v, v&1))
		}
	}
	for _, s := range statements {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}

	for range 2 { // a file that was brought up is left alone
		db := openFile(t, path)
		tail, err := db.Outbox().Tail(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found, err := tail.Scan(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, r := range found {
			order = append(order, r.ID())
			one, err := db.Outbox().Record(t.Context(), r.ID())
			if diff := cmp.Diff(r, one); err != nil || diff != "" {
				t.Errorf("%s by its id: %v\n%s", r.ID(), err, diff)
			}
			if r.Locked != (r.Version == 1) || !r.LockedAt.Equal(time.UnixMilli(2000)) || string(r.Payload) != "{}" {
				t.Errorf("%s came over as %+v", r.ID(), r)
			}
		}
		if diff := cmp.Diff([]string{"a:0:s", "b:0:s", "a:1:s", "b:1:s", "a:2:s", "b:2:s"}, order); diff != "" {
			t.Errorf("events in the order of their commits (-want +got):\n%s", diff)
		}
		key, err := db.Outbox().Key(t.Context(), "b", event.First, 10)
		if err != nil || len(key) != 2 {
			t.Errorf("%d events of b behind the first, want 2: %v", len(key), err)
		}
		if err := tail.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db := openFile(t, path)
	if err := db.Outbox().Delete(t.Context(), []outbox.Ref{{Key: "a", Version: 0, Subject: "s"}}); err != nil {
		t.Fatal(err)
	}
	if st, err := db.Outbox().Stats(t.Context()); err != nil || st.Pending != 5 {
		t.Errorf("stats %+v, %v, want 5 events left", st, err)
	}
}

// TestOrdersOfAnOlderFileAreKept opens files from before payments were kept, and
// from before orders knew from where on their lock may show. Case 9.1.
func TestOrdersOfAnOlderFileAreKept(t *testing.T) {
	t.Parallel()
	for _, version := range []int{2, 7} {
		path := filepath.Join(t.TempDir(), "store.db")
		olderFile(t, path, version, "INSERT INTO orders (seq, id, userId, status, expiresAt, ticketId, price, version)"+
			" VALUES (1, 'o', 'u', 'complete', 1000, 't', 20.5, 1)", "INSERT INTO replica VALUES ('t', 3, 'concert', 20.5, 'o', 0)")
		want := order.Order{
			ID: "o", UserID: "u", Status: order.Complete, ExpiresAt: time.UnixMilli(1000).UTC(), TicketID: "t", Price: 20.5, Version: 1,
		}
		got, err := openFile(t, path).Orders().Order(t.Context(), "o")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("order of a file of version %d: %v\n%s", version, err, diff)
		}
	}
}

// olderFile makes a file of a version of the schema, and executes statements.
func olderFile(t *testing.T, path string, version int, statements ...string) {
	t.Helper()
	pool, err := connect(path, 1, writerPragmas()...)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range migrations()[:version] {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.run(t.Context(), conn, i+1), conn.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range statements {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMarksOfAnOlderFileGoOn opens a file of the schema before exact marks.
func TestMarksOfAnOlderFileGoOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	sentAt := time.Unix(7, 5).UTC()
	olderFile(t, path, 4, fmt.Sprintf("INSERT INTO marks VALUES ('g', 'c', 41, %d)", sentAt.UnixNano()))
	got, err := openFile(t, path).Marks().Mark(t.Context(), "g", "c")
	want := listeners.Mark{Group: "g", Channel: "c", Sequence: 41, Last: 41, SentAt: sentAt}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("mark of an older file: %v (-want +got)\n%s", err, diff)
	}
}

// TestWhatAnOlderFileHasInQuarantineWaitsOn opens a file of the third schema.
func TestWhatAnOlderFileHasInQuarantineWaitsOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	pool, err := connect(path, 1, writerPragmas()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		schema, slimOutbox, payments, "PRAGMA user_version = 3",
		"INSERT INTO quarantine (id, queueGroup, subject, sequence, key, version, payload, reason, detail, at)" +
			" VALUES ('q', 'g', 's', 7, 'k', 5, x'7B7D', 'too_early', 'why', 1000), ('p', 'g', 's', 8, '', 0, x'7B', 'undecodable', 'why', 1000)",
	} {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	q := openFile(t, path).Quarantine()
	want := []listeners.Quarantined{{
		ID: "q", Group: "g", Subject: "s", Sequence: 7, Key: "k", Version: 5, Predecessor: 4, Payload: []byte("{}"),
		Reason: listeners.TooEarly, Detail: "why", At: time.UnixMilli(1000).UTC(),
	}}
	got, err := q.Applicable(t.Context(), "g", map[string]int64{"k": 4}, 10)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("what can be applied (-want +got): %v\n%s", err, diff)
	}
	if n, err := q.Count(t.Context()); n != 2 || err != nil {
		t.Errorf("%d entries (%v), want both", n, err)
	}
	if size, err := q.Size(t.Context(), "g"); size != (listeners.Size{Messages: 2, Bytes: 3}) || err != nil {
		t.Errorf("size %+v (%v), want both and their bytes", size, err)
	}
}

// TestTheQuarantineOfAnOlderFileIsCountedAnew opens a file of the schema before
// changes of entries were counted, with totals that went wrong. Case 11.5.
func TestTheQuarantineOfAnOlderFileIsCountedAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	olderFile(t, path, 10, "INSERT INTO quarantine (id, queueGroup, subject, sequence, key, version, payload, reason, detail, at)"+
		" VALUES ('a', 'g', 's', 7, 'k', 5, x'7B7D', 'failing', 'why', 1000), ('b', 'g', 's', 8, '', 0, x'7B', 'undecodable', 'why', 1000)",
		"UPDATE quarantine SET queueGroup = 'h' WHERE id = 'b'")
	db := openFile(t, path)
	for group, want := range map[string]listeners.Size{"g": {Messages: 1, Bytes: 2}, "h": {Messages: 1, Bytes: 1}} {
		if size, err := db.Quarantine().Size(t.Context(), group); err != nil || size != want {
			t.Errorf("size of %s: %+v, %v; want %+v", group, size, err, want)
		}
	}
	if q, err := db.Quarantine().Get(t.Context(), "a"); err != nil || string(q.Payload) != "{}" {
		t.Errorf("an entry came over as %+v, %v", q, err)
	}
}
