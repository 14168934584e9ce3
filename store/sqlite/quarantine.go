package sqlite

import (
	"context"
	"encoding/json"
	"errors"

	"lockstep/listeners"
)

// Quarantine is the table of messages that were set aside.
type Quarantine struct{ db *DB }

var _ listeners.Quarantine = (*Quarantine)(nil)

// Quarantine returns the port of package listeners.
func (db *DB) Quarantine() *Quarantine { return &Quarantine{db} }

const (
	insertQuarantined = "INSERT INTO quarantine (id, queueGroup, subject, sequence, key, version, predecessor, payload, reason, detail, at)" +
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
	selectQuarantined = "SELECT id, queueGroup, subject, sequence, key, version, predecessor, payload, reason, detail, at FROM quarantine "

	// listQuarantined leaves the payload out.
	listQuarantined = "SELECT id, queueGroup, subject, sequence, key, version, predecessor, x'', reason, detail, at FROM quarantine "

	waits         = "reason IN ('too_early', 'failing')" // as the index has it
	waitingByKey  = selectQuarantined + "INDEXED BY quarantineWaiting WHERE queueGroup = ? AND key > ? AND " + waits + " ORDER BY key, predecessor"
	applicableNow = selectQuarantined + "INDEXED BY quarantineWaiting WHERE queueGroup = ?1 AND " + waits +
		" AND key IN (SELECT q.key FROM json_each(?2) AS r CROSS JOIN quarantine AS q INDEXED BY quarantineWaiting" +
		" ON q.queueGroup = ?1 AND q.key = r.key AND q.predecessor <= r.value AND q." + waits + ") ORDER BY key, predecessor"
)

func scanQuarantined(row scanner) (q listeners.Quarantined, err error) {
	var sequence, at int64
	err = row.Scan((*entryID)(&q.ID), (*text)(&q.Group), (*text)(&q.Subject), (*count)(&sequence), (*recordID)(&q.Key), (*count)(&q.Version),
		(*count)(&q.Predecessor), (*payload)(&q.Payload), (*text)(&q.Reason), (*text)(&q.Detail), (*count)(&at))
	q.Sequence, q.At = uint64(sequence), timeOf(at)
	return q, named("quarantine", q.ID, err)
}

// Put implements listeners.Quarantine.
func (s *Quarantine) Put(ctx context.Context, messages []listeners.Quarantined) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		for _, q := range messages {
			n, err := w.exec(ctx, insertQuarantined, q.ID, q.Group, string(q.Subject), int64(q.Sequence), q.Key, q.Version,
				q.Predecessor, blob(q.Payload), string(q.Reason), q.Detail, millis(q.At))
			if err == nil && n == 0 {
				err = w.ineffective(nil) // it was there before
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// List implements listeners.Quarantine.
func (s *Quarantine) List(ctx context.Context, f listeners.Filter, after string, limit int) ([]listeners.Quarantined, string, error) {
	to, err := s.reach(ctx, f, after)
	if err != nil {
		return nil, "", err
	}
	query, args := listQuarantined+"WHERE id > ?", []any{after}
	and := func(condition string, arg any) { query, args = query+" AND "+condition, append(args, arg) }
	if to != "" {
		and("id <= ?", to)
	}
	if f.Group != "" {
		and("+queueGroup = ?", f.Group)
	}
	if f.Reason != "" {
		and("+reason = ?", string(f.Reason))
	}
	if f.Subject != "" {
		and("+subject = ?", string(f.Subject))
	}
	if f.Key != "" {
		and("+key = ?", f.Key)
	}
	if !f.Before.IsZero() {
		and("+at < ?", millis(f.Before))
	}
	found, err := first(ctx, s.db.read, scanQuarantined, limit, query+" ORDER BY id", args...)
	if len(found) > 0 {
		to = found[len(found)-1].ID
	}
	return found, to, err
}

// errNoMore: so many entries there are not.
var errNoMore = errors.New("no more")

// reach returns the id up to which entries are looked at for those that f
// chooses; "" for all.
func (s *Quarantine) reach(ctx context.Context, f listeners.Filter, after string) (string, error) {
	if f == (listeners.Filter{}) {
		return "", nil
	}
	id, err := one(ctx, s.db.read, errNoMore, func(row scanner) (id recordID, err error) { return id, row.Scan(&id) },
		"SELECT id FROM quarantine WHERE id > ? AND typeof(id) = 'text' ORDER BY id LIMIT 1 OFFSET ?", after, listeners.LookAt-1)
	if errors.Is(err, errNoMore) {
		return "", nil
	}
	return string(id), err
}

// Waiting implements listeners.Quarantine.
func (s *Quarantine) Waiting(ctx context.Context, group, after string, limit int) ([]listeners.Quarantined, error) {
	return s.page(ctx, limit, waitingByKey, group, after)
}

// Applicable implements listeners.Quarantine.
func (s *Quarantine) Applicable(ctx context.Context, group string, reached map[string]int64, limit int) ([]listeners.Quarantined, error) {
	versions, err := json.Marshal(reached)
	if err != nil {
		return nil, err
	}
	return s.page(ctx, limit, applicableNow, group, string(versions))
}

// page returns up to limit rows of a query, and up to the size of a page.
func (s *Quarantine) page(ctx context.Context, limit int, query string, args ...any) ([]listeners.Quarantined, error) {
	size := 0
	return while(ctx, s.db.read, scanQuarantined, func(q listeners.Quarantined) bool {
		limit, size = limit-1, size+len(q.Payload)
		return limit > 0 && size < listeners.PageBytes
	}, query, args...)
}

// Get implements listeners.Quarantine.
func (s *Quarantine) Get(ctx context.Context, id string) (listeners.Quarantined, error) {
	q, err := one(ctx, s.db.read, listeners.ErrNotFound, scanQuarantined, selectQuarantined+"WHERE id = ?", id)
	q.Payload = blob(q.Payload)
	return q, as(listeners.ErrUnreadable, err)
}

// Remove implements listeners.Quarantine.
func (s *Quarantine) Remove(ctx context.Context, ids []string) (removed int, err error) {
	set, err := list(ids)
	if err != nil {
		return 0, err
	}
	err = s.db.do(ctx, func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, "DELETE FROM quarantine WHERE id IN (SELECT value FROM json_each(?))", set)
		removed = int(n)
		return err
	})
	return removed, err
}

// Count implements listeners.Quarantine.
func (s *Quarantine) Count(ctx context.Context) (int, error) {
	n, err := one(ctx, s.db.read, nil, number, "SELECT coalesce(sum(messages), 0) FROM quarantineTotals")
	return int(n), err
}

// Size implements listeners.Quarantine.
func (s *Quarantine) Size(ctx context.Context, group string) (listeners.Size, error) {
	return one(ctx, s.db.read, nil, func(row scanner) (size listeners.Size, err error) {
		return size, row.Scan(&size.Messages, &size.Bytes)
	}, "SELECT coalesce(sum(messages), 0), coalesce(sum(bytes), 0) FROM quarantineTotals WHERE queueGroup = ?", group)
}
