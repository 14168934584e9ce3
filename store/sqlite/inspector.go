package sqlite

import (
	"context"
	"errors"
	"time"

	"lockstep/outbox"
)

var _ outbox.Inspector = (*Outbox)(nil)

// Stats implements outbox.Inspector. The oldest event is the one that was
// committed first.
func (s *Outbox) Stats(ctx context.Context) (outbox.Stats, error) {
	return one(ctx, s.db.read, nil, func(row scanner) (st outbox.Stats, err error) {
		var oldest int64
		err = row.Scan(&st.Pending, &oldest, &st.BlockedKeys)
		st.Oldest = timeOf(oldest)
		return st, err
	}, "SELECT (SELECT count(*) FROM events), coalesce((SELECT occurredAt FROM events ORDER BY seq LIMIT 1), 0),"+
		" (SELECT count(*) FROM events WHERE isLocked = 0 AND "+isHead+")")
}

const selectBehind = selectEvent + "WHERE (keyHash, version, key, subject) > (?1, ?3, ?2, ?4) ORDER BY keyHash, version, key, subject LIMIT ?5"

// List implements outbox.Inspector. The order is that of an index; that of the
// ids would sort the whole table for each page.
func (s *Outbox) List(ctx context.Context, after string, limit int) ([]outbox.Record, error) {
	behind := []any{-1, "", 0, ""}
	if places := split(after); len(places) > 0 {
		behind = places[len(places)-1] // no subject of ours holds a number
	}
	return s.list(ctx, selectBehind, append(behind, limit)...)
}

// Record implements outbox.Inspector.
func (s *Outbox) Record(ctx context.Context, id string) (outbox.Record, error) {
	for _, parts := range split(id) {
		r, err := one(ctx, s.db.read, outbox.ErrNotFound, scanEvent, selectEvent+withID, parts...)
		if !errors.Is(err, outbox.ErrNotFound) {
			return r, err
		}
	}
	return outbox.Record{}, outbox.ErrNotFound
}

// Retry implements outbox.Inspector.
func (s *Outbox) Retry(ctx context.Context, id string, now time.Time) error {
	return s.must(ctx, "UPDATE events SET isLocked = 0, lockedAt = 0, notBefore = ?5"+withID, id, millis(now))
}

// Discard implements outbox.Inspector.
func (s *Outbox) Discard(ctx context.Context, id string) error {
	return s.must(ctx, "DELETE FROM events"+withID, id)
}

// must runs a statement that changes the record with the id, or returns
// ErrNotFound.
func (s *Outbox) must(ctx context.Context, query, id string, args ...any) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		n, err := w.change(ctx, query, id, args...)
		if err == nil && n == 0 {
			err = outbox.ErrNotFound
		}
		return err
	})
}
