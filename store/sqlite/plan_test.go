package sqlite

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWritesAreDurable looks at the settings that durability rests on.
func TestWritesAreDurable(t *testing.T) {
	t.Parallel()
	db := openFile(t, filepath.Join(t.TempDir(), "store.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2"} {
		var got string
		if err := db.writer.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (error %v), want %q", pragma, got, err, want)
		}
	}
}

// TestQueriesUseTheirIndexes keeps the cost of what runs often from growing
// with the tables.
func TestQueriesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	db := openFile(t, filepath.Join(t.TempDir(), "store.db"))
	bound := regexp.MustCompile(`\?[0-9]`).ReplaceAllLiteralString
	for query, index := range map[string]string{
		strings.ReplaceAll(selectEvent+isDue+" ORDER BY notBefore, seq LIMIT 1", "?", "1"):       "eventsDue",
		selectEvent + "WHERE keyHash = 1 AND key = 'k' AND version > 1 ORDER BY version LIMIT 1": "eventsByKey",
		"DELETE FROM events WHERE keyHash = 1 AND key = 'k' AND version = 1 AND subject = 's'":   "eventsByKey",
		countBlocked:             "eventsFailed",
		bound(selectRange, "1"):  "INTEGER PRIMARY KEY",
		bound(selectBehind, "1"): "eventsByKey",
		bound(deleteRun, "1"):    "INTEGER PRIMARY KEY",
		selectLock + "WHERE ticketId = 't' AND state = 'waiting' ORDER BY since, orderId LIMIT 1": "locksWaiting",
		bound(selectLocks, "1"):  "ordersActive",
		bound(selectDue, "1"):    "ordersDue",
		bound(selectOddDue, "1"): "ordersDue",
		selectPayment + isOpenRefund + "AND id > 'a' ORDER BY id LIMIT 1":                 "refundsOpen",
		selectPayment + isRefund + "AND id > 'a' ORDER BY id LIMIT 1":                     "refunds",
		"SELECT count(*) FROM payments " + isOpenRefund:                                   "refundsOpen",
		selectOrder + "WHERE userId = 'u' AND seq > 1 ORDER BY seq LIMIT 1":               "ordersOfUser",
		strings.ReplaceAll(waitingByKey, "?", "1"):                                        "quarantineWaiting",
		strings.NewReplacer("?1", "'g'", "?2", "'{}'", "?3", "1").Replace(applicableNow):  "quarantineWaiting",
		"SELECT id, version FROM replica WHERE id IN (SELECT value FROM json_each('[]'))": "PRIMARY KEY",
	} {
		steps, err := all(t.Context(), db.read, func(row scanner) (detail string, err error) {
			var id, parent, unused int
			return detail, row.Scan(&id, &parent, &unused, &detail)
		}, "EXPLAIN QUERY PLAN "+query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if plan := strings.Join(steps, "\n"); !strings.Contains(plan, index) {
			t.Errorf("%s\ndoes not use %s:\n%s", query, index, plan)
		}
	}
}
