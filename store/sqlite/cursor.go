package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"

	"lockstep/outbox"
)

// cursor reads events in the order of their commits, on a connection of its
// own and with the values as the driver gives them: what database/sql does to
// copy and convert each one takes as long as reading it. It belongs to one
// goroutine.
type cursor struct {
	pool      *sql.DB
	conn      *sql.Conn
	statement driver.Stmt
	row       [eventColumns]driver.Value
	foreign   *outbox.Unreadables
}

// selectRange selects the events behind one and up to another, the oldest
// first.
const selectRange = scanEvents + "WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3"

func (db *DB) cursor(ctx context.Context) (*cursor, error) {
	c := &cursor{foreign: db.unreadable}
	if err := c.open(ctx, db); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *cursor) open(ctx context.Context, db *DB) (err error) {
	if c.pool, err = db.readers(1); err != nil {
		return err
	}
	if c.conn, err = c.pool.Conn(ctx); err != nil {
		return err
	}
	return c.conn.Raw(func(conn any) error {
		s, err := conn.(driver.ConnPrepareContext).PrepareContext(ctx, selectRange)
		if err == nil { // with an error s is the driver's nil, which is none of ours
			c.statement = s
		}
		return err
	})
}

// read appends up to limit events behind after, and up to last, to found, as
// many as make a page.
// It returns where to go on: behind the last row, which need not be an event.
func (c *cursor) read(ctx context.Context, found []outbox.Record, after, last int64, limit int) ([]outbox.Record, int64, error) {
	err := c.conn.Raw(func(any) (err error) {
		rows, err := c.statement.(driver.StmtQueryContext).QueryContext(ctx, []driver.NamedValue{
			{Ordinal: 1, Value: after}, {Ordinal: 2, Value: last}, {Ordinal: 3, Value: int64(limit)},
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for size := 0; size < outbox.PageBytes; {
			switch err := rows.Next(c.row[:]); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			r, err := eventOf(&c.row)
			after = r.Position
			var f *errForeign
			switch {
			case errors.As(err, &f):
				c.foreign.Add(outbox.Unreadable{ID: rowID(r.Position), Why: f.why})
			case err != nil:
				return err
			default:
				found, size = append(found, r), size+len(r.Payload)
			}
		}
		return nil
	})
	return found, after, err
}

// Close releases the connection. Closing again does nothing.
func (c *cursor) Close() error {
	var errs []error
	defer func() { *c = cursor{} }()
	if c.statement != nil {
		errs = append(errs, c.conn.Raw(func(any) error { return c.statement.Close() }))
	}
	if c.conn != nil {
		errs = append(errs, c.conn.Close())
	}
	if c.pool != nil {
		errs = append(errs, c.pool.Close())
	}
	return errors.Join(errs...)
}
