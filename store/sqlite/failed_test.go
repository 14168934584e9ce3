package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"lockstep/event"
)

// TestAFileWithoutTheIndexOfFailuresIsBroughtUp opens a file of the schema
// before, with events in it that failed, are tried again and never failed.
func TestAFileWithoutTheIndexOfFailuresIsBroughtUp(t *testing.T) {
	t.Parallel()
	const before = 5
	path := filepath.Join(t.TempDir(), "store.db")
	var events []string
	for i, state := range []string{"0, 0, 1000, 3", "1, 2000, 0, 1", "1, 2000, 0, 0"} { // isLocked, lockedAt, notBefore, attempts
		key := fmt.Sprint("key ", i)
		events = append(events, fmt.Sprintf("INSERT INTO events (keyHash, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload)"+
			" VALUES (%d, '%s', 0, 's', 1000, %s, '[]', x'7B7D')", keyHash(key), key, state))
	}
	olderFile(t, path, before, events...)
	for range 2 { // a file that was brought up is left alone
		db := openFile(t, path)
		st, err := db.Outbox().Stats(t.Context())
		if err != nil || st.Pending != 3 || st.BlockedKeys != 2 {
			t.Errorf("stats %+v, %v, want 3 events and 2 blocked keys", st, err)
		}
		due, err := db.Outbox().Due(t.Context(), time.UnixMilli(1000), time.UnixMilli(2000), 10)
		if err != nil || len(due) != 1 || due[0].Failures.Total != 3 {
			t.Errorf("due %+v, %v, want the event that failed three times", due, err)
		}
		waits, err := db.Outbox().Key(t.Context(), "key 2", event.None, 10)
		if err != nil || len(waits) != 1 || string(waits[0].Payload) != "{}" {
			t.Errorf("the event that never failed came over as %+v, %v", waits, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
