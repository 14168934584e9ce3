package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"lockstep/outbox"
)

var _ outbox.Inspector = (*Outbox)(nil)

// Stats implements outbox.Inspector. The oldest event is the one that was
// committed first.
func (s *Outbox) Stats(ctx context.Context) (outbox.Stats, error) {
	foreign, err := s.unreadable(ctx)
	if err != nil {
		return outbox.Stats{}, err
	}
	return one(ctx, s.db.read, nil, func(row scanner) (st outbox.Stats, err error) {
		st.Unreadable = foreign
		var at int64
		err = row.Scan(&st.Pending, &at, &st.BlockedKeys)
		st.Oldest = timeOf(at)
		return st, err
	}, "SELECT (SELECT count(*) FROM events), "+oldest+", ("+countBlocked+")")
}

// countBlocked counts the keys whose head has failed, also while it is tried
// again.
const countBlocked = "SELECT count(*) FROM (SELECT 1 FROM events WHERE attempts > 0 AND " + isEvent + " AND " + isHead + " LIMIT 10000)"

// unreadable counts the rows that are no events: it looks for them now and then,
// and notices others as they come.
func (s *Outbox) unreadable(ctx context.Context) (int, error) {
	return s.db.unreadable.Count(func(limit int) ([]outbox.Unreadable, error) {
		rows, err := s.foreign(ctx, 0, limit)
		var found []outbox.Unreadable
		for _, r := range rows {
			if r.Unreadable != nil {
				found = append(found, *r.Unreadable)
			}
		}
		return found, err
	}, func(ids []string) ([]string, error) {
		numbers := make([]int64, len(ids))
		for i, id := range ids {
			numbers[i], _ = rowOf(id)
		}
		set, err := json.Marshal(numbers)
		if err != nil {
			return nil, err
		}
		return all(ctx, s.db.read, func(row scanner) (id string, err error) {
			var seq int64
			err = row.Scan(&seq)
			return rowID(seq), err
		}, "SELECT seq FROM events WHERE seq IN (SELECT value FROM json_each(?)) AND "+isForeign, string(set))
	})
}

const selectBehind = listEvent + "WHERE " + isEvent + " AND (keyHash, version, key, subject) > (?1, ?3, ?2, ?4) ORDER BY keyHash, version, key, subject"

// List implements outbox.Inspector. The order is that of an index; that of the
// ids would sort the whole table for each page.
func (s *Outbox) List(ctx context.Context, after string, limit int) ([]outbox.Record, error) {
	if seq, ok := rowOf(after); ok {
		return s.foreign(ctx, seq, limit)
	}
	behind := []any{-1, "", 0, ""}
	if places := split(after); len(places) > 0 {
		behind = places[len(places)-1] // no subject of ours holds a number
	}
	found, more, err := page(ctx, s.db.read, scanEntry, limit, selectBehind, behind...)
	if found = s.db.events(found); err != nil || more {
		return found, err
	}
	others, err := s.foreign(ctx, 0, limit-len(found))
	return append(found, others...), err
}

// foreign returns rows that are no events, which come last in a list.
func (s *Outbox) foreign(ctx context.Context, after int64, limit int) ([]outbox.Record, error) {
	return first(ctx, s.db.read, scanEntry, limit, listEvent+"WHERE seq > ? AND "+isForeign+" ORDER BY seq", after)
}

// Record implements outbox.Inspector.
func (s *Outbox) Record(ctx context.Context, id string) (outbox.Record, error) {
	if seq, ok := rowOf(id); ok {
		return one(ctx, s.db.read, outbox.ErrNotFound, scanEntry, selectEvent+"WHERE seq = ?", seq)
	}
	for _, parts := range split(id) {
		r, err := one(ctx, s.db.read, outbox.ErrNotFound, scanEntry, selectEvent+withID, parts...)
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
	if seq, ok := rowOf(id); ok {
		return s.discardRow(ctx, seq)
	}
	return s.must(ctx, "DELETE FROM events"+withID, id)
}

// discardRow deletes a row that is no event.
func (s *Outbox) discardRow(ctx context.Context, seq int64) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, "DELETE FROM events WHERE seq = ? AND "+isForeign, seq)
		if err == nil && n == 0 {
			err = outbox.ErrNotFound
		}
		return err
	})
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
