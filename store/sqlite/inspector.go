package sqlite

import (
	"context"
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

// List implements outbox.Inspector.
func (s *Outbox) List(ctx context.Context, after string, limit int) ([]outbox.Record, error) {
	return s.list(ctx, selectEvent+"WHERE id > ? ORDER BY id LIMIT ?", after, limit)
}

// Record implements outbox.Inspector.
func (s *Outbox) Record(ctx context.Context, id string) (outbox.Record, error) {
	r, err := one(ctx, s.db.read, outbox.ErrNotFound, scanEvent, selectEvent+"WHERE id = ?", id)
	return r.Record, err
}

// Retry implements outbox.Inspector.
func (s *Outbox) Retry(ctx context.Context, id string, now time.Time) error {
	return s.must(ctx, "UPDATE events SET isLocked = 0, lockedAt = 0, notBefore = ?2 WHERE id = ?1", id, millis(now))
}

// Discard implements outbox.Inspector.
func (s *Outbox) Discard(ctx context.Context, id string) error {
	return s.must(ctx, "DELETE FROM events WHERE id = ?", id)
}

// must runs a statement that changes one record, or returns ErrNotFound.
func (s *Outbox) must(ctx context.Context, query string, args ...any) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, query, args...)
		if err == nil && n == 0 {
			err = outbox.ErrNotFound
		}
		return err
	})
}
