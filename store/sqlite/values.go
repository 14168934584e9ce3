package sqlite

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// millis is how a time is stored.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// timeOf reverses millis.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// blob is how bytes are stored: the driver would make nil a NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// list is how a set of ids is handed to json_each.
func list(ids []string) (string, error) {
	b, err := json.Marshal(ids)
	return string(b), err
}

// violates reports whether err is the violation of a unique index.
func violates(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

// isOfTable reports whether a refusal is one of the table that was written to.
func isOfTable(err error) bool {
	code := primary(err)
	return code == sqlite3.SQLITE_CONSTRAINT || code == sqlite3.SQLITE_ERROR
}

// isBarred reports whether the process may not write the file.
func isBarred(err error) bool {
	switch primary(err) {
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return true
	}
	return false
}

// isTwice reports whether err is that something is there already.
func isTwice(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && slices.Contains([]int{
		sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID,
	}, e.Code())
}

// isBusy reports whether another program had the file locked.
func isBusy(err error) bool { return primary(err) == sqlite3.SQLITE_BUSY }

// isRefusal reports whether the file, and not the statement, is why it failed.
// Statements that the engine finds wrong are right for the tables that we make,
// and of constraints those forbid only that something is there twice.
func isRefusal(err error) bool {
	switch primary(err) {
	case sqlite3.SQLITE_CONSTRAINT:
		return !isTwice(err)
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_NOMEM:
		return true
	}
	return false
}

// isDamage reports whether what the file holds is no database.
func isDamage(err error) bool {
	code := primary(err)
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

// primary returns the engine's primary result code, 0 if err is none of it.
func primary(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return sqlite3.SQLITE_OK
	}
	return e.Code() & 0xff
}
