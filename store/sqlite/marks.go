package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"lockstep/event"
	"lockstep/listeners"
)

// Marks is the table of how far queue groups have come.
type Marks struct{ db *DB }

var _ listeners.Marks = (*Marks)(nil)

// Marks returns the port of package listeners.
func (db *DB) Marks() *Marks { return &Marks{db} }

const selectMark = "SELECT renumbered, sequence, beyond, last, sentAt, base, lost, revision FROM marks WHERE queueGroup = ? AND channel = ?"

// scanMark reads a mark into m. If it cannot be read, m has what can.
func scanMark(row scanner, m *listeners.Mark) error {
	var sequence, last, sentAt, base, lost, revision count
	var beyond text
	if err := row.Scan((*count)(&m.Renumbered), &sequence, &beyond, &last, &sentAt, &base, &lost, &revision); err != nil {
		return named("marks", m.Group+" "+string(m.Channel), err)
	}
	spans, err := listeners.ParseSpans(string(beyond))
	if err == nil && min(sequence, last, base, lost, revision) < 0 {
		err = errors.New("a number is below 0")
	}
	if err != nil {
		return named("marks", m.Group+" "+string(m.Channel), &errForeign{err.Error()})
	}
	m.Sequence, m.Beyond, m.Last, m.Base, m.Lost, m.Revision = uint64(sequence), spans, uint64(last), uint64(base), uint64(lost), int64(revision)
	if sentAt != 0 {
		m.SentAt = time.Unix(0, int64(sentAt)).UTC()
	}
	return nil
}

// Mark implements listeners.Marks.
func (s *Marks) Mark(ctx context.Context, group string, channel event.Subject) (listeners.Mark, error) {
	m := listeners.Mark{Group: group, Channel: channel}
	_, err := one(ctx, s.db.read, errNoMark, func(row scanner) (none struct{}, err error) {
		return none, scanMark(row, &m)
	}, selectMark, group, string(channel))
	switch {
	case errors.Is(err, errNoMark):
		err = nil
	case errors.Is(err, errUnreadable): // which has been made known
		m.Revision, err = listeners.Spoiled, nil
	}
	return m, err
}

var errNoMark = errors.New("no mark")

const (
	storeMark = "INSERT INTO marks (queueGroup, channel, sequence, beyond, last, sentAt, base, lost, revision, renumbered)" +
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (queueGroup, channel) DO UPDATE SET" +
		" sequence = excluded.sequence, beyond = excluded.beyond, last = excluded.last, sentAt = excluded.sentAt," +
		" base = excluded.base, lost = excluded.lost, revision = excluded.revision, renumbered = excluded.renumbered"
	storeNextMark = storeMark + " WHERE CAST(revision AS INTEGER) = excluded.revision - 1"
)

// Store implements listeners.Marks.
func (s *Marks) Store(ctx context.Context, m listeners.Mark) (bool, error) {
	var sentAt int64
	if !m.SentAt.IsZero() {
		sentAt = m.SentAt.UnixNano()
	}
	return ask(ctx, s.db, func(ctx context.Context, w *writer) (stored bool, err error) {
		statement := storeNextMark
		if m.Revision == listeners.Spoiled {
			statement = storeMark
			if spoiled, err := w.spoiled(ctx, m); err != nil || !spoiled {
				return false, err
			}
		}
		n, err := w.exec(ctx, statement, m.Group, string(m.Channel), int64(m.Sequence), m.Beyond.String(), int64(m.Last), sentAt,
			int64(m.Base), int64(m.Lost), m.Next(), m.Renumbered)
		return n == 1, err
	})
}

// spoiled reports whether the stored mark cannot be read.
func (w *writer) spoiled(ctx context.Context, m listeners.Mark) (bool, error) {
	row, err := w.row(ctx, selectMark, m.Group, string(m.Channel))
	if err != nil {
		return false, err
	}
	err = scanMark(row, &m)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	var u *unreadable
	if errors.As(err, &u) {
		return true, nil
	}
	return false, err
}
