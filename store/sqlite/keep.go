package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Another program may drop and alter what is in the file while the service runs.
// Each transaction looks whether the schema is the one it was, and makes what is
// missing before it writes anything: nobody else can change it until it ends.

// object is a table, an index or a trigger.
type object struct {
	kind, name, table string
	sql               string // the statement that makes it

	rehearsal []string // what is written to a table; of those that are wanted
}

// objectsOf returns what the file of conn has, in the order of its making.
func objectsOf(ctx context.Context, conn *sql.Conn) (all []object, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"+
		" ORDER BY CASE type WHEN 'table' THEN 1 WHEN 'index' THEN 2 ELSE 3 END, rowid")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var o object
		if err := rows.Scan(&o.kind, &o.name, &o.table, &o.sql); err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// wanted returns what a file of the newest schema has.
func wanted(ctx context.Context) (all []object, err error) {
	pool, err := connect(":memory:", 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := migrate(ctx, conn); err != nil {
		return nil, err
	}
	if all, err = objectsOf(ctx, conn); err != nil {
		return nil, err
	}
	for i, o := range all {
		if o.kind != "table" {
			continue
		}
		if all[i].rehearsal, err = rehearsal(ctx, conn, o.name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// irreplaceable reports whether the loss of a table cannot be made good. It is
// not made again under a running service: it may come back.
func irreplaceable(table string) bool {
	return slices.Contains([]string{"tickets", "locks", "orders", "payments"}, table)
}

// keep makes what somebody has dropped since the last look, in the running
// transaction, and notes what cannot be made. It costs one number if nothing has
// changed.
func (w *writer) keep(ctx context.Context) error {
	if err := w.readSchema(ctx); err != nil || w.schema == w.whole.Load() {
		return err
	}
	if err := w.complete(ctx, irreplaceable); err != nil {
		return fmt.Errorf("look at the tables: %w", w.explain(err))
	}
	return w.readSchema(ctx)
}

// start is keep for a file that is opened: what its tables held is accepted as
// lost. The totals of the quarantine are counted anew, for another program may have
// written them, or replaced entries, of which SQLite tells no trigger.
func (w *writer) start(ctx context.Context) (err error) {
	if w.wanted, err = wanted(ctx); err != nil {
		return err
	}
	if _, err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err = w.complete(ctx, func(string) bool { return false }); err == nil {
		_, err = w.conn.ExecContext(ctx, recount)
	}
	if err != nil {
		w.rollback(ctx)
		return err
	}
	_, err = w.exec(ctx, "COMMIT")
	return err
}

// complete makes what is missing or another, but for the tables that except
// names, and what is on them. It notes what is missing still.
func (w *writer) complete(ctx context.Context, except func(table string) bool) error {
	have, err := objectsOf(ctx, w.conn)
	if err != nil {
		return err
	}
	var made []string
	var amiss error
	gone := map[string]bool{}
	for _, o := range w.wanted {
		at := slices.IndexFunc(have, func(h object) bool { return strings.EqualFold(h.name, o.name) })
		switch {
		case at >= 0 && have[at].kind == o.kind && (o.kind == "table" || have[at].sql == o.sql), gone[o.table]:
			continue
		case o.kind == "table" && (at >= 0 || except(o.name)):
			gone[o.name] = true
			amiss = errors.Join(amiss, fmt.Errorf("table %s was dropped, renamed or replaced while the service runs: give it its name back,"+
				" or restore the file from a backup with the service stopped", o.name))
			continue
		case at >= 0:
			if _, err := w.conn.ExecContext(ctx, "DROP "+have[at].kind+" "+have[at].name); err != nil {
				return err
			}
		}
		switch _, err := w.conn.ExecContext(ctx, o.sql); {
		case violates(err):
			amiss = errors.Join(amiss, fmt.Errorf("%w: %v", errUnguarded, err)) // no violation by whoever reads it
		case err != nil:
			return err
		default:
			made = append(made, o.name)
		}
	}
	if err := w.begun(ctx, made); err != nil {
		return err
	}
	refusals, err := w.refusals(ctx, have, gone)
	w.note(made, errors.Join(amiss, refusals, err))
	return err
}

// refusals returns why tables, but for those that are gone, do not take what the
// service writes.
func (w *writer) refusals(ctx context.Context, have []object, gone map[string]bool) (amiss, err error) {
	for _, o := range have {
		amiss = errors.Join(amiss, w.narrows(o))
	}
	for _, o := range w.wanted {
		if o.kind != "table" || gone[o.name] {
			continue
		}
		refusal, err := w.rehearse(ctx, o, have)
		if err != nil {
			return amiss, err
		}
		amiss = errors.Join(amiss, refusal)
	}
	return amiss, nil
}

// recount makes the totals of the quarantine those of what is in it. It reads no
// payload: a million entries take less than a second.
const recount = "DELETE FROM quarantineTotals; INSERT INTO quarantineTotals" +
	" WITH sizes AS MATERIALIZED (SELECT coalesce(queueGroup, '') AS queueGroup, coalesce(length(payload), 0) AS bytes FROM quarantine)" +
	" SELECT queueGroup, count(*), sum(bytes) FROM sizes GROUP BY queueGroup"

// begun fills what was made and does not begin empty: positions in the outbox
// are never used again, and the totals of the quarantine are those of what is in
// it.
func (w *writer) begun(ctx context.Context, made []string) error {
	for _, name := range made {
		var fill string
		switch {
		case name == "events":
			fill = "INSERT INTO sqlite_sequence VALUES ('events', unixepoch() * 1000)"
		case strings.HasPrefix(name, "quarantine"):
			fill = recount
		default:
			continue
		}
		if _, err := w.conn.ExecContext(ctx, fill); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) readSchema(ctx context.Context) error {
	row, err := w.row(ctx, "PRAGMA schema_version")
	if err != nil {
		return err
	}
	return row.Scan(&w.schema)
}

// note makes known what was made again and what is missing still.
func (w *writer) note(made []string, amiss error) {
	w.amiss.Store(nil)
	if amiss != nil {
		w.amiss.Store(&amiss)
	}
	if len(made) == 0 {
		return
	}
	w.made.Add(float64(len(made)))
	w.log.Error("tables, indexes or triggers had been dropped or altered by another program and were made again:"+
		" what a dropped table held is lost unless it is restored from a backup", slog.String("made", strings.Join(made, ", ")))
}

// incomplete returns what is missing in the file, as of the last transaction.
func (w *writer) incomplete() error {
	if amiss := w.amiss.Load(); amiss != nil {
		return *amiss
	}
	return nil
}

// completed returns why the tables are not as they must be, after a transaction
// that makes what can be made if somebody has changed them.
func (db *DB) completed(ctx context.Context) error {
	version, err := one(ctx, db.read, nil, number, "PRAGMA schema_version")
	if err == nil && version != db.writer.whole.Load() {
		err = db.do(ctx, func(context.Context, *writer) error { return nil })
	}
	return errors.Join(db.writer.incomplete(), err)
}
