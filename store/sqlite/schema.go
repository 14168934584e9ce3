package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
)

//go:embed schema.sql
var schema string

// migrations lead from each user_version of a file to the next. They are only
// ever appended to.
func migrations() []string { return []string{schema} }

// migrate brings the file of conn to the newest schema, each step in a
// transaction of its own.
func migrate(ctx context.Context, conn *sql.Conn) error {
	var have int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	steps := migrations()
	if have > len(steps) {
		return fmt.Errorf("schema version %d was written by a newer release, this one knows %d", have, len(steps))
	}
	for i := have; i < len(steps); i++ {
		step := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", steps[i], i+1)
		if _, err := conn.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("bring schema to version %d: %w", i+1, err)
		}
	}
	return nil
}
