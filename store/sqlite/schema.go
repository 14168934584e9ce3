package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
)

var (
	//go:embed schema.sql
	schema string
	//go:embed outbox.sql
	slimOutbox string
	//go:embed payments.sql
	payments string
	//go:embed incidents.sql
	incidents string
	//go:embed marks.sql
	exactMarks string
	//go:embed failed.sql
	failedEvents string
	//go:embed quarantine.sql
	waitingQuarantine string
	//go:embed locks.sql
	lockFrom string
	//go:embed totals.sql
	quarantineTotals string
	//go:embed renumbered.sql
	renumberedMarks string
	//go:embed changed.sql
	changedQuarantine string
)

// migration leads a file to the next version of the schema.
type migration struct {
	statements string
	then       func(context.Context, *sql.Conn) error // what SQL cannot say; may be nil
}

// migrations lead from each user_version of a file to the next. They are only
// ever appended to.
func migrations() []migration {
	return []migration{
		{statements: schema}, {slimOutbox, hashKeys}, {statements: payments}, {statements: incidents}, {statements: exactMarks},
		{statements: failedEvents}, {statements: waitingQuarantine}, {statements: lockFrom}, {statements: quarantineTotals},
		{statements: renumberedMarks}, {statements: changedQuarantine},
	}
}

// migrate brings the file of conn to the newest schema, each step in a
// transaction of its own.
func migrate(ctx context.Context, conn *sql.Conn) error {
	var have int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	steps := migrations()
	if have < 0 {
		return fmt.Errorf("schema version %d was written by no release: restore a backup", have)
	}
	if have > len(steps) {
		return fmt.Errorf("schema version %d was written by a newer release, this one knows %d", have, len(steps))
	}
	for i := have; i < len(steps); i++ {
		if err := steps[i].run(ctx, conn, i+1); err != nil {
			return fmt.Errorf("bring schema to version %d: %w", i+1, err)
		}
	}
	return nil
}

// run does the whole step or nothing.
func (m migration) run(ctx context.Context, conn *sql.Conn, version int) (err error) {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, undone := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			err = errors.Join(err, undone)
		}
	}()
	if _, err := conn.ExecContext(ctx, m.statements); err != nil {
		return err
	}
	if m.then != nil {
		if err := m.then(ctx, conn); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d; COMMIT", version))
	return err
}

// hashKeys fills in keyHash.
func hashKeys(ctx context.Context, conn *sql.Conn) error {
	keys, err := keysBySeq(ctx, conn)
	if err != nil {
		return err
	}
	for seq, key := range keys {
		if _, err := conn.ExecContext(ctx, "UPDATE events SET keyHash = ? WHERE seq = ?", keyHash(key), seq); err != nil {
			return err
		}
	}
	return nil
}

func keysBySeq(ctx context.Context, conn *sql.Conn) (keys map[int64]string, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT seq, key FROM events")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	keys = map[int64]string{}
	for rows.Next() {
		var seq int64
		var key string
		if err := rows.Scan(&seq, &key); err != nil {
			return nil, err
		}
		keys[seq] = key
	}
	return keys, rows.Err()
}
