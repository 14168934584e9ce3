// Package sqlite keeps tickets, orders, replicas and their outbox in one
// SQLite file per service. It is the embedded default and as durable as the
// larger engine: write-ahead log, synchronous FULL, so a change whose Commit
// returned survives the process and the power.
//
// One goroutine owns the one connection that writes. Callers that wait at the
// same moment share a transaction and its fsync, each behind a savepoint of
// its own, so one that loses spoils nobody. Reads go through a pool of
// connections that cannot write, hold nothing up, and see every change whose
// Commit returned.
//
// One process owns a file: a second one is refused with ErrInUse. Several
// processes on one store need MongoDB.
//
// The files are meant to be looked at: any sqlite3 shell opens them. Times are
// milliseconds since 1970, UTC, 0 for none, unless the column says otherwise.
package sqlite
