package bench

import (
	"context"
	"database/sql"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/store/sqlite"
	"lockstep/ticket"
)

// BenchmarkCommit measures durable commits of a ticket with its event. Each
// case runs the store and bare SQLite in turns on the same disk and reports
// the median of their ratios: what the ports, the conditions and the grouping
// of unrelated callers cost.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("sqlite/writers=%d", writers), func(b *testing.B) { commitOnSQLite(b, writers) })
	}
}

const (
	commitRounds = 25                     // rounds per case
	commitTime   = 200 * time.Millisecond // for each side of a round
	commitKeys   = 4                      // tickets of each writer
)

func commitOnSQLite(b *testing.B, writers int) {
	store, bare := openStore(b, writers), openBare(b, writers)
	for b.Loop() {
		var ratios, ours, raws []float64
		for range commitRounds {
			raw := bare.run(b, commitTime)
			own := store.run(b, commitTime)
			ratios, ours, raws = append(ratios, own/raw), append(ours, own), append(raws, raw)
		}
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(median(ours), "commits/s")
		b.ReportMetric(median(raws), "bare_commits/s")
	}
	b.ReportMetric(0, "ns/op") // of a run whose length is fixed; says nothing
}

// storeSide commits through the store's port, each writer on its own tickets.
type storeSide struct {
	db      *sqlite.DB
	tickets [][]ticket.Ticket // by writer
}

func openStore(b *testing.B, writers int) *storeSide {
	b.Helper()
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	s := &storeSide{db: db, tickets: make([][]ticket.Ticket, writers)}
	for w := range s.tickets {
		for range commitKeys {
			t := ticket.Ticket{ID: objectid.New(), Title: "a chair", Price: 12.5, UserID: objectid.New()}
			if err := db.Tickets().Commit(b.Context(), ticket.Change{Now: &t}); err != nil {
				b.Fatal(err)
			}
			s.tickets[w] = append(s.tickets[w], t)
		}
	}
	return s
}

func (s *storeSide) run(b *testing.B, length time.Duration) float64 {
	b.Helper()
	return perSecond(b, len(s.tickets), length, func(ctx context.Context, w, n int) error {
		t := &s.tickets[w][n%commitKeys]
		now := *t
		now.Version++
		e, err := ticketUpdated(now)
		if err != nil {
			return err
		}
		if err := s.db.Tickets().Commit(ctx, ticket.Change{Was: t, Now: &now, Events: []event.Event{e}}); err != nil {
			return err
		}
		now.Revision++
		*t = now
		return nil
	})
}

func ticketUpdated(t ticket.Ticket) (event.Event, error) {
	return event.Ticket{ID: t.ID, Title: t.Title, Price: t.Price, UserID: t.UserID, Version: t.Version}.Updated(time.Now())
}

// bareSide writes the same rows into the same tables with the same settings,
// as fast as SQLite goes: one goroutine, and transactions of as many changes as
// there are writers.
type bareSide struct {
	conn             *sql.Conn
	begin, end       *sql.Stmt
	update, insert   *sql.Stmt
	tickets          []ticket.Ticket
	transactionWants int
}

func openBare(b *testing.B, writers int) *bareSide {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bare.db")
	db, err := sqlite.Open(b.Context(), path, sqlite.Options{}) // makes the tables
	if err != nil {
		b.Fatal(err)
	}
	s := &bareSide{transactionWants: writers}
	for range writers * commitKeys {
		t := ticket.Ticket{ID: objectid.New(), Title: "a chair", Price: 12.5, UserID: objectid.New()}
		if err := db.Tickets().Commit(b.Context(), ticket.Change{Now: &t}); err != nil {
			b.Fatal(err)
		}
		s.tickets = append(s.tickets, t)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	pool, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"+
		"&_pragma=cache_size(-32768)&_pragma=wal_autocheckpoint(4000)") // as the store has them
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pool.Close() })
	s.prepare(b, pool)
	return s
}

func (s *bareSide) prepare(b *testing.B, pool *sql.DB) {
	b.Helper()
	var err error
	if s.conn, err = pool.Conn(b.Context()); err != nil {
		b.Fatal(err)
	}
	prepared := func(query string) *sql.Stmt {
		stmt, err := s.conn.PrepareContext(b.Context(), query)
		if err != nil {
			b.Fatal(err)
		}
		return stmt
	}
	s.begin, s.end = prepared("BEGIN IMMEDIATE"), prepared("COMMIT")
	s.update = prepared("UPDATE tickets SET title = ?, price = ?, userId = ?, version = ?, orderId = '', deleted = 0," +
		" revision = revision + 1 WHERE id = ?")
	s.insert = prepared("INSERT INTO events (keyHash, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload)" +
		" VALUES (?, ?, ?, ?, ?, 1, ?, 0, 0, '[]', ?)")
}

func (s *bareSide) run(b *testing.B, length time.Duration) float64 {
	b.Helper()
	transactions := perSecond(b, 1, length, func(_ context.Context, _, n int) error { return s.transaction(n) })
	return transactions * float64(s.transactionWants)
}

func (s *bareSide) transaction(n int) error {
	if _, err := s.begin.Exec(); err != nil {
		return err
	}
	for i := range s.transactionWants {
		t := &s.tickets[(n*s.transactionWants+i)%len(s.tickets)]
		t.Version++
		if _, err := s.update.Exec(t.Title, t.Price, t.UserID, t.Version, t.ID); err != nil {
			return err
		}
		e, err := ticketUpdated(*t)
		if err != nil {
			return err
		}
		at := e.OccurredAt.UnixMilli()
		if _, err := s.insert.Exec(int64(crc32.ChecksumIEEE([]byte(e.Key))), e.Key, e.Version, string(e.Subject), at, at, e.Payload); err != nil {
			return err
		}
	}
	_, err := s.end.Exec()
	return err
}

// perSecond calls do from some goroutines for a while and returns how many
// calls a second ended. do is told its goroutine and how many it made before.
func perSecond(b *testing.B, goroutines int, length time.Duration, do func(ctx context.Context, goroutine, n int) error) float64 {
	b.Helper()
	var calls atomic.Int64
	var group sync.WaitGroup
	start := time.Now()
	for g := range goroutines {
		group.Go(func() {
			for n := 0; time.Since(start) < length; n++ {
				if err := do(b.Context(), g, n); err != nil {
					b.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	group.Wait()
	return float64(calls.Load()) / time.Since(start).Seconds()
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
