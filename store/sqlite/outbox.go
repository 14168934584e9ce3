package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"

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
	// scanEvents has few columns because the engine takes its lock for each
	// value: four columns less are a quarter of a scan. Nearly every event is
	// locked and never failed: then the last one is lockedAt, else a history.
	scanEvents = "SELECT seq, key, version, subject, occurredAt, payload, " + eventState + fromEvents

	// selectEvent has what the index knows the key by as well, and listEvent
	// leaves the payload out, but for its type.
	selectEvent = "SELECT seq, key, version, subject, occurredAt, payload, " + eventState + ", keyHash" + fromEvents
	listEvent   = "SELECT seq, key, version, subject, occurredAt, CASE WHEN typeof(payload) IN ('blob', 'text') THEN x'' ELSE 0 END, " +
		eventState + ", keyHash" + fromEvents

	eventState = "" +
		"CASE WHEN isLocked = 1 AND notBefore = 0 AND attempts = 0 THEN lockedAt" +
		" WHEN 'blob' IN (typeof(isLocked), typeof(lockedAt), typeof(notBefore), typeof(attempts)) THEN '' ELSE json_object(" + // JSON holds no blob
		"'isLocked', isLocked, 'lockedAt', lockedAt, 'notBefore', notBefore, 'attempts', attempts," +
		" 'failures', json(CASE WHEN typeof(failures) = 'text' AND json_valid(failures) THEN failures ELSE '[]' END)" +
		") END"
	fromEvents   = " FROM events "
	eventColumns = 7 // of scanEvents

	// isHead: no older version of the key waits.
	isHead = "NOT EXISTS (SELECT 1 FROM events AS older WHERE older.keyHash = events.keyHash AND older.version < events.version AND older.key = events.key" +
		" AND typeof(older.version) = 'integer' AND typeof(older.subject) = 'text' AND typeof(older.payload) IN ('blob', 'text') AND older.isLocked IN (0, 1)" +
		" AND typeof(older.notBefore) = 'integer' AND typeof(older.lockedAt) = 'integer' AND typeof(older.attempts) = 'integer' AND older.version >= 0)"

	// isEvent: eventOf can make something of it. A column keeps a value of any
	// type, whatever the schema says.
	isEvent = "typeof(key) = 'text' AND typeof(version) = 'integer' AND typeof(subject) = 'text' AND typeof(payload) IN ('blob', 'text') AND isLocked IN (0, 1)" +
		" AND typeof(notBefore) = 'integer' AND typeof(lockedAt) = 'integer' AND typeof(attempts) = 'integer'" +
		" AND version BETWEEN 0 AND 9007199254740992" + // event.MaxVersion
		" AND keyHash = " + hashFunction + "(key)"
	isForeign = "(" + isEvent + ") IS NOT TRUE" // also if a column is NULL
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

// keyHash is what the index knows a key by. A row with another hash is found by
// no key.
func keyHash(key string) int64 { return int64(crc32.ChecksumIEEE([]byte(key))) }

// hashFunction is keyHash in SQL; NULL of what is no text.
const hashFunction = "lockstep_key_hash"

func init() {
	sqlite.MustRegisterDeterministicScalarFunction(hashFunction, 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		if key, ok := args[0].(string); ok {
			return keyHash(key), nil
		}
		return nil, nil
	})
}

// scanEntry reads a row of selectEvent or listEvent, event or not.
func scanEntry(row scanner) (outbox.Record, error) {
	r, err := scanEvent(row)
	var f *errForeign
	if errors.As(err, &f) {
		return outbox.Record{Position: r.Position, Unreadable: &outbox.Unreadable{ID: rowID(r.Position), Why: f.why}}, nil
	}
	return r, err
}

// rowID names a row that is no event; rowOf reverses it.
func rowID(seq int64) string { return "#" + strconv.FormatInt(seq, 10) }

func rowOf(id string) (seq int64, ok bool) {
	digits, ok := strings.CutPrefix(id, "#")
	seq, err := strconv.ParseInt(digits, 10, 64)
	return seq, ok && err == nil
}

// scanEvent reads a row of selectEvent. Its error is an *errForeign if the row
// is no event.
func scanEvent(row scanner) (outbox.Record, error) {
	var columns [eventColumns]driver.Value
	var hash any
	var dest [eventColumns + 1]any
	for i := range columns {
		dest[i] = (*any)(&columns[i]) // which takes a NULL
	}
	dest[eventColumns] = &hash
	if err := row.Scan(dest[:]...); err != nil {
		return outbox.Record{}, err
	}
	r, err := eventOf(&columns)
	if err == nil && hash != keyHash(r.Key) {
		err = &errForeign{"keyHash is not that of key"}
	}
	return r, err
}

// eventOf makes a record of a row of scanEvents, whose bytes become its own.
func eventOf(columns *[eventColumns]driver.Value) (r outbox.Record, err error) {
	var key, version, subject bool
	r.Position = integer(columns[0])
	r.Key, key = columns[1].(string)
	r.Version, version = columns[2].(int64)
	named, subject := columns[3].(string)
	r.Subject, r.OccurredAt = event.Subject(named), timeOf(integer(columns[4]))
	if !key || !version || !subject {
		return r, &errForeign{"key and subject must be texts, version a whole number"}
	}
	if r.Version < event.First || r.Version > event.MaxVersion {
		return r, &errForeign{"version is negative or above 2^53"}
	}
	switch payload := columns[5].(type) {
	case []byte:
		r.Payload = blob(payload)
	case string:
		r.Payload = []byte(payload)
	default:
		return r, &errForeign{"payload is neither blob nor text"}
	}
	if lockedAt, ok := columns[6].(int64); ok {
		r.Locked, r.LockedAt, r.Failures.Kept = true, timeOf(lockedAt), []outbox.Failure{}
		return r, nil
	}
	var h history
	told, _ := columns[6].(string)
	if err := json.Unmarshal([]byte(told), &h); err != nil {
		return r, &errForeign{"isLocked, lockedAt, notBefore and attempts must be whole numbers"}
	}
	if h.IsLocked != 0 && h.IsLocked != 1 {
		return r, &errForeign{"isLocked is neither 0 nor 1"}
	}
	r.Locked, r.LockedAt, r.NotBefore = h.IsLocked != 0, timeOf(h.LockedAt), timeOf(h.NotBefore)
	r.Failures = outbox.Failures{Total: h.Attempts, Kept: decodeFailures(h.Failures)}
	return r, nil
}

// integer returns a whole number, 0 if v is none.
func integer(v any) int64 { n, _ := v.(int64); return n }

// page returns the events among the rows of a query, up to the size of a page.
func (s *Outbox) page(ctx context.Context, query string, args ...any) ([]outbox.Record, error) {
	size := 0
	found, err := while(ctx, s.db.read, scanEntry, func(r outbox.Record) bool {
		size += len(r.Payload)
		return size < outbox.PageBytes
	}, query, args...)
	return s.db.events(found), err
}

// events returns those that are events and remembers the others.
func (db *DB) events(found []outbox.Record) []outbox.Record {
	return slices.DeleteFunc(found, func(r outbox.Record) bool {
		if r.Unreadable != nil {
			db.unreadable.Add(*r.Unreadable)
		}
		return r.Unreadable != nil
	})
}

// oldest is when the first event occurred: 0 without one, 1 if it does not tell.
const oldest = "coalesce((SELECT CASE typeof(occurredAt) WHEN 'integer' THEN max(occurredAt, 1) ELSE 1 END FROM events WHERE " + isEvent + " ORDER BY seq LIMIT 1), 0)"

// Oldest implements outbox.Store.
func (s *Outbox) Oldest(ctx context.Context) (time.Time, error) {
	ms, err := one(ctx, s.db.read, nil, number, "SELECT "+oldest)
	return timeOf(ms), err
}

// Key implements outbox.Store.
func (s *Outbox) Key(ctx context.Context, key string, after int64, limit int) ([]outbox.Record, error) {
	return s.page(ctx, selectEvent+"WHERE keyHash = ? AND key = ? AND version > ? AND "+isEvent+" ORDER BY version LIMIT ?", keyHash(key), key, after, limit)
}

const isDue = "WHERE isLocked = 0 AND (notBefore <= ? OR notBefore > ?) AND " + isEvent + " AND " + isHead

// Due implements outbox.Store.
func (s *Outbox) Due(ctx context.Context, now, latest time.Time, limit int) ([]outbox.Record, error) {
	return s.page(ctx, selectEvent+isDue+" ORDER BY notBefore, seq LIMIT ?", millis(now), millis(latest), limit)
}

// Stale implements outbox.Store. It reads the table from its oldest event on,
// where stale ones lie, and stops when it has enough.
func (s *Outbox) Stale(ctx context.Context, before, latest time.Time, limit int) ([]outbox.Record, error) {
	return s.page(ctx, selectEvent+"WHERE isLocked = 1 AND (lockedAt < ? OR lockedAt > ?) AND "+isEvent+" AND "+isHead+" ORDER BY seq LIMIT ?",
		millis(before), millis(latest), limit)
}

// Relock implements outbox.Store.
func (s *Outbox) Relock(ctx context.Context, ids []string, at time.Time) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return ask(ctx, s.db, func(ctx context.Context, w *writer) (locked []string, err error) {
		for _, id := range ids {
			n, err := w.change(ctx, "UPDATE events SET isLocked = 1, notBefore = 0, lockedAt = ?5"+withID, id, millis(at))
			if err != nil {
				return nil, err
			}
			if n > 0 {
				locked = append(locked, id)
			}
		}
		return locked, nil
	})
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
	return ask(ctx, s.db, func(ctx context.Context, w *writer) (outbox.Record, error) {
		failed, err := w.event(ctx, id)
		if err != nil {
			return failed, err
		}
		failed.Locked, failed.LockedAt, failed.NotBefore = false, time.Time{}, timeOf(millis(notBefore))
		f.At = timeOf(millis(f.At))
		failed.Failures = failed.Failures.Add(f)
		kept, err := encodeFailures(failed.Failures.Kept)
		if err != nil {
			return failed, err
		}
		_, err = w.exec(ctx, updateFailures, millis(notBefore), failed.Failures.Total, kept, failed.Position)
		return failed, err
	})
}

// event returns the event with the id, or outbox.ErrNotFound.
func (w *writer) event(ctx context.Context, id string) (outbox.Record, error) {
	for _, parts := range split(id) {
		row, err := w.row(ctx, selectEvent+withID, parts...)
		if err != nil {
			return outbox.Record{}, err
		}
		r, err := scanEvent(row)
		var f *errForeign
		if !errors.Is(err, sql.ErrNoRows) && !errors.As(err, &f) {
			return r, err
		}
	}
	return outbox.Record{}, outbox.ErrNotFound
}
