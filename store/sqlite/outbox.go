package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
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

// insertEvent adds an event. insertNewEvent does so unless its id is there:
// there is one writer, so looking first is safe.
const (
	insertEvent    = intoEvents + " VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, 0, 0, '[]', ?7)"
	insertNewEvent = intoEvents + " SELECT ?1, ?2, ?3, ?4, ?5, 1, ?6, 0, 0, '[]', ?7 WHERE NOT EXISTS (SELECT 1 FROM events" + withID + ")"
	intoEvents     = "INSERT INTO events (keyHash, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload)"
)

// insert adds events to the outbox, locked at the given time: from its commit
// on, an event belongs to the dispatcher. A single event of the version that
// the change has just given to the record needs no look at whether it is there:
// no version is given twice.
func (w *writer) insert(ctx context.Context, events []event.Event, at time.Time, record string, version int64) error {
	for _, e := range events {
		query := insertNewEvent
		if len(events) == 1 && e.Key == record && e.Version == version {
			query = insertEvent
		}
		if err := w.expect(ctx, "event "+e.ID()+" is in the outbox", query,
			keyHash(e.Key), e.Key, e.Version, string(e.Subject), millis(e.OccurredAt), millis(at), blob(e.Payload)); err != nil {
			return err
		}
		w.events++
	}
	return nil
}

const (
	// selectEvent has few columns because the engine takes its lock for each
	// value: four columns less are a quarter of a scan. Nearly every event is
	// locked and never failed: then the last one is lockedAt, else a history.
	selectEvent = "SELECT seq, key, version, subject, occurredAt, payload, " +
		"CASE WHEN isLocked = 1 AND notBefore = 0 AND attempts = 0 THEN lockedAt ELSE json_object(" +
		"'isLocked', isLocked, 'lockedAt', lockedAt, 'notBefore', notBefore, 'attempts', attempts, 'failures', json(failures)" +
		") END FROM events "
	eventColumns = 7

	// isHead: no older version of the key waits.
	isHead = "NOT EXISTS (SELECT 1 FROM events AS older WHERE older.keyHash = events.keyHash AND older.version < events.version AND older.key = events.key)"
)

// withID selects the event by the parts of its id that split returns.
const withID = " WHERE keyHash = ?1 AND key = ?2 AND version = ?3 AND subject = ?4"

// split returns every key, with its hash, version and subject that make up id:
// more than one only if key or subject hold a number between colons.
func split(id string) (all [][]any) {
	for i := range len(id) {
		if id[i] != ':' {
			continue
		}
		if version, subject, ok := cutVersion(id[i+1:]); ok {
			all = append(all, []any{keyHash(id[:i]), id[:i], version, subject})
		}
	}
	return all
}

// cutVersion cuts a version, as an id spells it, and a colon from the front of
// s.
func cutVersion(s string) (version int64, rest string, ok bool) {
	digits, rest, found := strings.Cut(s, ":")
	version, err := strconv.ParseInt(digits, 10, 64)
	ok = found && err == nil && strconv.FormatInt(version, 10) == digits // "012" is not how an id spells 12
	return version, rest, ok
}

// keyHash is what the index knows a key by.
func keyHash(key string) int64 { return int64(crc32.ChecksumIEEE([]byte(key))) }

// scanEvent reads a row of selectEvent.
func scanEvent(row scanner) (outbox.Record, error) {
	var columns [eventColumns]driver.Value
	var dest [eventColumns]any
	for i := range columns {
		dest[i] = &columns[i]
	}
	if err := row.Scan(dest[:]...); err != nil {
		return outbox.Record{}, err
	}
	return eventOf(&columns)
}

// eventOf makes a record of a row of selectEvent, whose bytes become its own.
func eventOf(columns *[eventColumns]driver.Value) (r outbox.Record, err error) {
	r.Position, r.Key, r.Version = integer(columns[0]), text(columns[1]), integer(columns[2])
	r.Subject, r.OccurredAt = event.Subject(text(columns[3])), timeOf(integer(columns[4]))
	payload, _ := columns[5].([]byte)
	r.Payload = blob(payload)
	if lockedAt, ok := columns[6].(int64); ok {
		r.Locked, r.LockedAt, r.Failures.Kept = true, timeOf(lockedAt), []outbox.Failure{}
		return r, nil
	}
	var h history
	if err := json.Unmarshal([]byte(text(columns[6])), &h); err != nil {
		return r, fmt.Errorf("history of event %s: %w", r.ID(), err)
	}
	r.Locked, r.LockedAt, r.NotBefore = h.IsLocked != 0, timeOf(h.LockedAt), timeOf(h.NotBefore)
	r.Failures = outbox.Failures{Total: h.Attempts, Kept: decodeFailures(h.Failures)}
	return r, nil
}

// integer and text return a column's value; its type is the schema's.
func integer(v any) int64 { n, _ := v.(int64); return n }

func text(v any) string { s, _ := v.(string); return s }

func (s *Outbox) list(ctx context.Context, query string, args ...any) ([]outbox.Record, error) {
	return all(ctx, s.db.read, scanEvent, query, args...)
}

// Oldest implements outbox.Store.
func (s *Outbox) Oldest(ctx context.Context) (time.Time, error) {
	ms, err := one(ctx, s.db.read, nil, number, "SELECT coalesce((SELECT occurredAt FROM events ORDER BY seq LIMIT 1), 0)")
	return timeOf(ms), err
}

// Key implements outbox.Store.
func (s *Outbox) Key(ctx context.Context, key string, after int64, limit int) ([]outbox.Record, error) {
	return s.list(ctx, selectEvent+"WHERE keyHash = ? AND key = ? AND version > ? ORDER BY version LIMIT ?", keyHash(key), key, after, limit)
}

// Due implements outbox.Store.
func (s *Outbox) Due(ctx context.Context, now time.Time, limit int) ([]outbox.Record, error) {
	return s.list(ctx, selectEvent+"WHERE isLocked = 0 AND notBefore <= ? AND "+isHead+" ORDER BY notBefore, seq LIMIT ?", millis(now), limit)
}

// Stale implements outbox.Store. It reads the table from its oldest event on,
// where stale ones lie, and stops when it has enough.
func (s *Outbox) Stale(ctx context.Context, before time.Time, limit int) ([]outbox.Record, error) {
	return s.list(ctx, selectEvent+"WHERE isLocked = 1 AND lockedAt < ? AND "+isHead+" ORDER BY seq LIMIT ?", millis(before), limit)
}

// Relock implements outbox.Store.
func (s *Outbox) Relock(ctx context.Context, ids []string, at time.Time) (locked []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = s.db.do(ctx, func(ctx context.Context, w *writer) error {
		locked = nil
		for _, id := range ids {
			n, err := w.change(ctx, "UPDATE events SET isLocked = 1, notBefore = 0, lockedAt = ?5"+withID, id, millis(at))
			if err != nil {
				return err
			}
			if n > 0 {
				locked = append(locked, id)
			}
		}
		return nil
	})
	return locked, err
}

// change runs a statement on the event with the id and returns how many it
// changed.
func (w *writer) change(ctx context.Context, query, id string, args ...any) (int64, error) {
	for _, parts := range split(id) {
		if n, err := w.exec(ctx, query, append(parts, args...)...); err != nil || n > 0 {
			return n, err
		}
	}
	return 0, nil
}

const updateFailures = "UPDATE events SET isLocked = 0, lockedAt = 0, notBefore = ?, attempts = ?, failures = ? WHERE seq = ?"

// Fail implements outbox.Store.
func (s *Outbox) Fail(ctx context.Context, id string, f outbox.Failure, notBefore time.Time) (outbox.Record, error) {
	var failed outbox.Record
	err := s.db.do(ctx, func(ctx context.Context, w *writer) error {
		var err error
		if failed, err = w.event(ctx, id); err != nil {
			return err
		}
		failed.Locked, failed.LockedAt, failed.NotBefore = false, time.Time{}, timeOf(millis(notBefore))
		f.At = timeOf(millis(f.At))
		failed.Failures = failed.Failures.Add(f)
		kept, err := encodeFailures(failed.Failures.Kept)
		if err != nil {
			return err
		}
		_, err = w.exec(ctx, updateFailures, millis(notBefore), failed.Failures.Total, kept, failed.Position)
		return err
	})
	if err != nil {
		return outbox.Record{}, err
	}
	return failed, nil
}

// event returns the event with the id, or outbox.ErrNotFound.
func (w *writer) event(ctx context.Context, id string) (outbox.Record, error) {
	for _, parts := range split(id) {
		row, err := w.row(ctx, selectEvent+withID, parts...)
		if err != nil {
			return outbox.Record{}, err
		}
		r, err := scanEvent(row)
		if !errors.Is(err, sql.ErrNoRows) {
			return r, err
		}
	}
	return outbox.Record{}, outbox.ErrNotFound
}
