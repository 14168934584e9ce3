package sqlite

import (
	"context"
	"fmt"
	"strings"
	"time"

	"lockstep/incident"
)

// Incidents is the table of what a person should know of.
type Incidents struct{ db *DB }

var _ incident.Store = (*Incidents)(nil)

// Incidents returns the port of package incident.
func (db *DB) Incidents() *Incidents { return &Incidents{db} }

const (
	incidentColumns = "id, cause, service, subject, summary, opened, raised, closed, ending, count, told, tries, notifyAt, revision"
	selectIncident  = "SELECT " + incidentColumns + " FROM incidents "
	insertIncident  = "INSERT INTO incidents (" + incidentColumns + ", key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" +
		" ON CONFLICT DO NOTHING"
	updateIncident = "UPDATE incidents SET summary = ?, raised = ?, closed = ?, ending = ?, count = ?, told = ?, tries = ?, notifyAt = ?," +
		" revision = revision + 1 WHERE id = ? AND CAST(revision AS INTEGER) = ?"
	pruneIncidents = "DELETE FROM incidents WHERE closed != 0 AND (closed < ? OR closed <" +
		" (SELECT closed FROM incidents WHERE closed != 0 ORDER BY closed DESC LIMIT 1 OFFSET ?))"
)

func scanIncident(row scanner) (i incident.Incident, err error) {
	var opened, raised, closed, notifyAt, times, told, tries int64
	err = row.Scan((*entryID)(&i.ID), (*text)(&i.Cause), (*text)(&i.Service), (*text)(&i.Subject), (*text)(&i.Summary), (*count)(&opened),
		(*count)(&raised), (*count)(&closed), (*text)(&i.Ending), (*count)(&times), (*count)(&told), (*count)(&tries), (*count)(&notifyAt), (*count)(&i.Revision))
	i.Count, i.Told, i.Tries = int(times), incident.Told(told), int(tries)
	i.Opened, i.Raised, i.Closed, i.NotifyAt = timeOf(opened), timeOf(raised), timeOf(closed), timeOf(notifyAt)
	return i, named("incidents", i.ID, err)
}

// Incident implements incident.Store.
func (s *Incidents) Incident(ctx context.Context, id string) (incident.Incident, error) {
	return one(ctx, s.db.read, incident.ErrNotFound, scanIncident, selectIncident+"WHERE id = ?", id)
}

// List implements incident.Store.
func (s *Incidents) List(ctx context.Context, q incident.Query) ([]incident.Incident, error) {
	where, args := []string{"1"}, []any{}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if q.Key != "" {
		add("key = ?", q.Key)
	}
	if q.Cause != "" {
		add("cause = ?", string(q.Cause))
	}
	if q.OpenOnly {
		add("closed = 0")
	}
	if q.Closed {
		add("closed != 0")
	}
	if q.Before != "" {
		add("id < ?", q.Before)
	}
	return first(ctx, s.db.read, scanIncident, q.Limit, selectIncident+"WHERE "+strings.Join(where, " AND ")+" ORDER BY id DESC", args...)
}

// Due implements incident.Store.
func (s *Incidents) Due(ctx context.Context, now, latest time.Time, limit int) ([]incident.Incident, error) {
	return first(ctx, s.db.read, scanIncident, limit, selectIncident+"WHERE notifyAt != 0 AND notifyAt NOT BETWEEN ? AND ? ORDER BY notifyAt",
		millis(now)+1, millis(latest))
}

// Write implements incident.Store.
func (s *Incidents) Write(ctx context.Context, i incident.Incident) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		n, err := w.incident(ctx, i)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: %s", incident.ErrConflict, i.ID)
		}
		return err
	})
}

func (w *writer) incident(ctx context.Context, i incident.Incident) (int64, error) {
	if i.Revision == 0 {
		return w.exec(ctx, insertIncident, i.ID, string(i.Cause), i.Service, i.Subject, i.Summary, millis(i.Opened), millis(i.Raised),
			millis(i.Closed), i.Ending, i.Count, int(i.Told), i.Tries, millis(i.NotifyAt), 1, i.Key())
	}
	return w.exec(ctx, updateIncident, i.Summary, millis(i.Raised), millis(i.Closed), i.Ending, i.Count, int(i.Told), i.Tries,
		millis(i.NotifyAt), i.ID, i.Revision)
}

// Prune implements incident.Store.
func (s *Incidents) Prune(ctx context.Context, before time.Time, keep int) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, pruneIncidents, millis(before), max(keep-1, 0))
		return err
	})
}

// Counts implements incident.Store.
func (s *Incidents) Counts(ctx context.Context) (map[incident.Cause]int, error) {
	counts := map[incident.Cause]int{}
	_, err := all(ctx, s.db.read, func(row scanner) (none struct{}, err error) {
		var cause incident.Cause
		var n int
		if err = row.Scan((*text)(&cause), &n); err == nil {
			counts[cause] = n
		}
		return none, named("incidents", "cause", err)
	}, "SELECT cause, count(*) FROM incidents WHERE closed = 0 GROUP BY cause")
	return counts, err
}
