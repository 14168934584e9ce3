package sqlite

import (
	"context"
	"time"

	"lockstep/event"
	"lockstep/listeners"
)

// Quarantine is the table of messages that were set aside.
type Quarantine struct{ db *DB }

var _ listeners.Quarantine = (*Quarantine)(nil)

// Quarantine returns the port of package listeners.
func (db *DB) Quarantine() *Quarantine { return &Quarantine{db} }

const (
	insertQuarantined = "INSERT INTO quarantine (id, queueGroup, subject, sequence, key, version, payload, reason, detail, at)" +
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
	selectQuarantined = "SELECT id, queueGroup, subject, sequence, key, version, payload, reason, detail, at FROM quarantine "
)

func scanQuarantined(row scanner) (q listeners.Quarantined, err error) {
	var sequence, at int64
	err = row.Scan(&q.ID, &q.Group, &q.Subject, &sequence, &q.Key, &q.Version, &q.Payload, &q.Reason, &q.Detail, &at)
	q.Sequence, q.Payload, q.At = uint64(sequence), blob(q.Payload), timeOf(at)
	return q, err
}

// Put implements listeners.Quarantine.
func (s *Quarantine) Put(ctx context.Context, q listeners.Quarantined) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, insertQuarantined, q.ID, q.Group, string(q.Subject), int64(q.Sequence), q.Key, q.Version,
			blob(q.Payload), string(q.Reason), q.Detail, millis(q.At))
		return err
	})
}

// List implements listeners.Quarantine.
func (s *Quarantine) List(ctx context.Context, after string, limit int) ([]listeners.Quarantined, error) {
	return all(ctx, s.db.read, scanQuarantined, selectQuarantined+"WHERE id > ? ORDER BY id LIMIT ?", after, limit)
}

// OfKey implements listeners.Quarantine.
func (s *Quarantine) OfKey(ctx context.Context, key string, limit int) ([]listeners.Quarantined, error) {
	return all(ctx, s.db.read, scanQuarantined,
		selectQuarantined+"WHERE key = ? AND reason = 'too_early' ORDER BY version, id LIMIT ?", key, limit)
}

// Get implements listeners.Quarantine.
func (s *Quarantine) Get(ctx context.Context, id string) (listeners.Quarantined, error) {
	return one(ctx, s.db.read, listeners.ErrNotFound, scanQuarantined, selectQuarantined+"WHERE id = ?", id)
}

// Remove implements listeners.Quarantine.
func (s *Quarantine) Remove(ctx context.Context, id string) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, "DELETE FROM quarantine WHERE id = ?", id)
		if err == nil && n == 0 {
			err = listeners.ErrNotFound
		}
		return err
	})
}

// Count implements listeners.Quarantine.
func (s *Quarantine) Count(ctx context.Context) (int, error) {
	n, err := one(ctx, s.db.read, nil, number, "SELECT count(*) FROM quarantine")
	return int(n), err
}

// Marks is the table of how far queue groups have come.
type Marks struct{ db *DB }

var _ listeners.Marks = (*Marks)(nil)

// Marks returns the port of package listeners.
func (db *DB) Marks() *Marks { return &Marks{db} }

// Mark implements listeners.Marks.
func (s *Marks) Mark(ctx context.Context, group string, channel event.Subject) (listeners.Mark, error) {
	none := listeners.Mark{Group: group, Channel: channel}
	rows, err := all(ctx, s.db.read, func(row scanner) (listeners.Mark, error) {
		m := none
		var sequence, last, sentAt, base, lost int64
		var beyond string
		err := row.Scan(&sequence, &beyond, &last, &sentAt, &base, &lost, &m.Revision)
		if err != nil {
			return m, err
		}
		m.Sequence, m.Last, m.Base, m.Lost = uint64(sequence), uint64(last), uint64(base), uint64(lost)
		if sentAt != 0 {
			m.SentAt = time.Unix(0, sentAt).UTC()
		}
		m.Beyond, err = listeners.ParseSpans(beyond)
		return m, err
	}, "SELECT sequence, beyond, last, sentAt, base, lost, revision FROM marks WHERE queueGroup = ? AND channel = ?", group, string(channel))
	if err != nil || len(rows) == 0 {
		return none, err
	}
	return rows[0], nil
}

const storeMark = "INSERT INTO marks (queueGroup, channel, sequence, beyond, last, sentAt, base, lost, revision)" +
	" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (queueGroup, channel) DO UPDATE SET" +
	" sequence = excluded.sequence, beyond = excluded.beyond, last = excluded.last, sentAt = excluded.sentAt," +
	" base = excluded.base, lost = excluded.lost, revision = excluded.revision WHERE revision = excluded.revision - 1"

// Store implements listeners.Marks.
func (s *Marks) Store(ctx context.Context, m listeners.Mark) (stored bool, err error) {
	var sentAt int64
	if !m.SentAt.IsZero() {
		sentAt = m.SentAt.UnixNano()
	}
	err = s.db.do(ctx, func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, storeMark, m.Group, string(m.Channel), int64(m.Sequence), m.Beyond.String(), int64(m.Last), sentAt,
			int64(m.Base), int64(m.Lost), m.Revision+1)
		stored = n == 1
		return err
	})
	return stored, err
}
