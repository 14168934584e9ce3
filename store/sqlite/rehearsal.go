package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A table may be there and not take what the service writes: another program
// gave it a trigger, a constraint or other columns. So what is written to it is
// rehearsed whenever the schema is another one.

// samples are values of the types of columns, which no record has.
func samples() map[string]string {
	return map[string]string{"TEXT": "'lockstep rehearses'", "INTEGER": "-1", "REAL": "1.5", "BLOB": "x''"}
}

// rehearsal returns statements that each change one row of a table: they make
// it, write all of its columns and delete it.
func rehearsal(ctx context.Context, conn *sql.Conn, table string) (statements []string, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT name, type, pk > 0 FROM pragma_table_info(?)", table)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var columns, values, same, this []string
	for rows.Next() {
		var name, kind string
		var key bool
		if err := rows.Scan(&name, &kind, &key); err != nil {
			return nil, err
		}
		value := samples()[kind]
		columns, values, same = append(columns, name), append(values, value), append(same, name+" = "+name)
		if key {
			this = append(this, name+" = "+value)
		}
	}
	where := " WHERE " + strings.Join(this, " AND ")
	return []string{
		"INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")",
		"UPDATE " + table + " SET " + strings.Join(same, ", ") + where,
		"DELETE FROM " + table + where,
	}, rows.Err()
}

// rehearse returns why a table does not take what the service writes to it, in
// the running transaction, of which it changes nothing.
func (w *writer) rehearse(ctx context.Context, table object, have []object) (refusal, err error) {
	if _, err := w.conn.ExecContext(ctx, "SAVEPOINT rehearsal"); err != nil {
		return nil, err
	}
	for _, statement := range table.rehearsal {
		err := w.changeOne(ctx, statement)
		if isRefusal(err) && !isOfTable(err) {
			return nil, err // of the file: whatever comes next will say so, too
		}
		if err != nil {
			refusal = fmt.Errorf("table %s does not take what the service writes to it: undo what another program has changed in it%s: %w",
				table.name, w.strangers(table.name, have), err)
			break
		}
	}
	_, err = w.conn.ExecContext(ctx, "ROLLBACK TO rehearsal; RELEASE rehearsal")
	if err != nil {
		return nil, errors.Join(refusal, err) // a trigger may have ended the transaction
	}
	return refusal, nil
}

func (w *writer) changeOne(ctx context.Context, statement string) error {
	result, err := w.conn.ExecContext(ctx, statement)
	if err != nil {
		_ = w.explain(err) // which ends all writing to a damaged file
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		verb, _, _ := strings.Cut(statement, " ")
		return errors.Join(err, fmt.Errorf("%s has no effect", verb))
	}
	return nil
}

// strangers names the triggers of other programs on a table, for a person.
func (w *writer) strangers(table string, have []object) string {
	var names []string
	for _, o := range have {
		if o.kind == "trigger" && strings.EqualFold(o.table, table) && !w.wants(o) {
			names = append(names, "DROP TRIGGER "+o.name)
		}
	}
	if names == nil {
		return ""
	}
	return ", as by " + strings.Join(names, "; ")
}

func (w *writer) wants(o object) bool {
	return slices.ContainsFunc(w.wanted, func(x object) bool { return strings.EqualFold(x.name, o.name) })
}

// narrows returns why an index of another program keeps records out that the
// service writes, or nil.
func (w *writer) narrows(o object) error {
	ours := slices.ContainsFunc(w.wanted, func(x object) bool { return strings.EqualFold(x.name, o.table) })
	if o.kind != "index" || !ours || w.wants(o) || !strings.HasPrefix(o.sql, "CREATE UNIQUE INDEX") {
		return nil
	}
	return fmt.Errorf("index %s of table %s is unique, and refuses what the service writes: remove it with DROP INDEX %s", o.name, o.table, o.name)
}
