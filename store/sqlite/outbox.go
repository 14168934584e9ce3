package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"lockstep/event"
	"lockstep/outbox"
)

// Outbox is the table of events that wait to be published, and of the leases
// on it.
type Outbox struct{ db *DB }

var _ outbox.Store = (*Outbox)(nil)

// Outbox returns the ports of package outbox.
func (db *DB) Outbox() *Outbox { return &Outbox{db} }

const insertEvent = "INSERT INTO events (id, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload)" +
	" VALUES (?, ?, ?, ?, ?, 1, ?, 0, 0, '[]', ?) ON CONFLICT (id) DO NOTHING"

// insert adds events to the outbox, locked at the given time: from its commit
// on, an event belongs to the dispatcher.
func (w *writer) insert(ctx context.Context, events []event.Event, at time.Time) error {
	for _, e := range events {
		id := e.ID()
		if err := w.expect(ctx, "event "+id+" is in the outbox", insertEvent,
			id, e.Key, e.Version, string(e.Subject), millis(e.OccurredAt), millis(at), blob(e.Payload)); err != nil {
			return err
		}
		w.events++
	}
	return nil
}

const (
	selectEvent = "SELECT seq, id, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload FROM events "

	// isHead: no older version of the key waits.
	isHead = "NOT EXISTS (SELECT 1 FROM events AS older WHERE older.key = events.key AND older.version < events.version)"
)

// eventRow is a record with its place in the order of the commits.
type eventRow struct {
	seq int64
	outbox.Record
}

func scanEvent(row scanner) (r eventRow, err error) {
	var (
		id                              string // derived from the rest
		occurredAt, lockedAt, notBefore int64
		failures                        string
	)
	err = row.Scan(&r.seq, &id, &r.Key, &r.Version, &r.Subject, &occurredAt, &r.Locked, &lockedAt, &notBefore,
		&r.Failures.Total, &failures, &r.Payload)
	if err != nil {
		return r, err
	}
	r.OccurredAt, r.LockedAt, r.NotBefore = timeOf(occurredAt), timeOf(lockedAt), timeOf(notBefore)
	r.Payload = blob(r.Payload)
	if r.Failures.Kept, err = decodeFailures(failures); err != nil {
		return r, fmt.Errorf("failures of event %s: %w", id, err)
	}
	return r, nil
}

func records(rows []eventRow) []outbox.Record {
	found := make([]outbox.Record, len(rows))
	for i, row := range rows {
		found[i] = row.Record
	}
	return found
}

func (s *Outbox) list(ctx context.Context, query string, args ...any) ([]outbox.Record, error) {
	rows, err := all(ctx, s.db.read, scanEvent, query, args...)
	return records(rows), err
}

// Key implements outbox.Store.
func (s *Outbox) Key(ctx context.Context, key string, after int64, limit int) ([]outbox.Record, error) {
	return s.list(ctx, selectEvent+"WHERE key = ? AND version > ? ORDER BY version LIMIT ?", key, after, limit)
}

// Due implements outbox.Store.
func (s *Outbox) Due(ctx context.Context, now time.Time, limit int) ([]outbox.Record, error) {
	return s.list(ctx, selectEvent+"WHERE isLocked = 0 AND notBefore <= ? AND "+isHead+" ORDER BY notBefore, seq LIMIT ?", millis(now), limit)
}

// Stale implements outbox.Store.
func (s *Outbox) Stale(ctx context.Context, before time.Time, limit int) ([]outbox.Record, error) {
	return s.list(ctx, selectEvent+"WHERE seq IN (SELECT seq FROM events WHERE isLocked = 1 AND lockedAt < ? AND "+isHead+" LIMIT ?) ORDER BY seq",
		millis(before), limit)
}

// Delete implements outbox.Store.
func (s *Outbox) Delete(ctx context.Context, ids []string) error {
	return s.each(ctx, ids, "DELETE FROM events WHERE id = ?")
}

// Relock implements outbox.Store.
func (s *Outbox) Relock(ctx context.Context, ids []string, at time.Time) error {
	return s.each(ctx, ids, "UPDATE events SET isLocked = 1, notBefore = 0, lockedAt = ?2 WHERE id = ?1", millis(at))
}

// each runs a statement for every id, all in one transaction.
func (s *Outbox) each(ctx context.Context, ids []string, query string, args ...any) error {
	if len(ids) == 0 {
		return nil
	}
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		for _, id := range ids {
			if _, err := w.exec(ctx, query, append([]any{id}, args...)...); err != nil {
				return err
			}
		}
		return nil
	})
}

const updateFailures = "UPDATE events SET isLocked = 0, lockedAt = 0, notBefore = ?, attempts = ?, failures = ? WHERE id = ?"

// Fail implements outbox.Store.
func (s *Outbox) Fail(ctx context.Context, id string, f outbox.Failure, notBefore time.Time) (outbox.Record, error) {
	var failed eventRow
	err := s.db.do(ctx, func(ctx context.Context, w *writer) error {
		row, err := w.row(ctx, selectEvent+"WHERE id = ?", id)
		if err != nil {
			return err
		}
		failed, err = scanEvent(row)
		if errors.Is(err, sql.ErrNoRows) {
			return outbox.ErrNotFound
		}
		if err != nil {
			return err
		}
		failed.Locked, failed.LockedAt, failed.NotBefore = false, time.Time{}, timeOf(millis(notBefore))
		f.At = timeOf(millis(f.At))
		failed.Failures = failed.Failures.Add(f)
		kept, err := encodeFailures(failed.Failures.Kept)
		if err != nil {
			return err
		}
		_, err = w.exec(ctx, updateFailures, millis(notBefore), failed.Failures.Total, kept, id)
		return err
	})
	if err != nil {
		return outbox.Record{}, err
	}
	return failed.Record, nil
}

// failure is how an outbox.Failure lies in its column.
type failure struct {
	At      int64        `json:"at"` // milliseconds since 1970
	Attempt int          `json:"attempt"`
	Class   outbox.Class `json:"class"`
	Message string       `json:"message"`
}

func encodeFailures(kept []outbox.Failure) (string, error) {
	all := make([]failure, len(kept))
	for i, f := range kept {
		all[i] = failure{At: millis(f.At), Attempt: f.Attempt, Class: f.Class, Message: f.Message}
	}
	b, err := json.Marshal(all)
	return string(b), err
}

func decodeFailures(column string) ([]outbox.Failure, error) {
	if column == "[]" {
		return []outbox.Failure{}, nil
	}
	var all []failure
	if err := json.Unmarshal([]byte(column), &all); err != nil {
		return nil, err
	}
	kept := make([]outbox.Failure, len(all))
	for i, f := range all {
		kept[i] = outbox.Failure{At: timeOf(f.At), Attempt: f.Attempt, Class: f.Class, Message: f.Message}
	}
	return kept, nil
}
