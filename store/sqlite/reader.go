package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"sync"

	records "lockstep/internal/unreadable"
)

// reader runs queries on the connections that cannot write. Statements are
// prepared once per connection.
type reader struct {
	pool       *sql.DB
	statements sync.Map // query → *sql.Stmt
	unreadable *records.Records
	explain    func(error) error // see writer.explain
	gone       func() error      // see writer.gone
}

// tables are those that rows are read from, but for the outbox, which looks
// after its own.
func tables() []string {
	return []string{"tickets", "locks", "orders", "payments", "replica", "quarantine", "marks", "incidents"}
}

// errUnreadable: the row is there and cannot be read.
var errUnreadable = errors.New("the stored row cannot be read")

// as gives errUnreadable the name that a port has for it.
func as(port, err error) error {
	if errors.Is(err, errUnreadable) {
		return fmt.Errorf("%w: %w", port, err)
	}
	return err
}

// note makes a row known that cannot be read, if that is what err says.
func (r *reader) note(ctx context.Context, err error) bool {
	var u *unreadable
	if !errors.As(err, &u) {
		return false
	}
	r.unreadable.Note(ctx, u.table, u.id, u.err)
	return true
}

// scanner is a row, of one or of many.
type scanner interface{ Scan(dest ...any) error }

func (r *reader) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := r.gone(); err != nil {
		return nil, err
	}
	if s, ok := r.statements.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := r.pool.PrepareContext(ctx, query)
	if err != nil {
		return nil, r.explain(err)
	}
	if other, taken := r.statements.LoadOrStore(query, s); taken {
		return other.(*sql.Stmt), s.Close()
	}
	return s, nil
}

func (r *reader) close() error {
	var errs []error
	r.statements.Range(func(_, s any) bool {
		errs = append(errs, s.(*sql.Stmt).Close())
		return true
	})
	return errors.Join(append(errs, r.pool.Close())...)
}

// one returns the row of a query, or notFound if there is none, or
// errUnreadable.
func one[T any](ctx context.Context, r *reader, notFound error, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	var none T
	s, err := r.prepared(ctx, query)
	if err != nil {
		return none, err
	}
	v, err := scan(s.QueryRowContext(ctx, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return none, notFound
	}
	if r.note(ctx, err) {
		return none, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return v, r.explain(err)
}

// all returns the rows of a query, but for those that cannot be read.
func all[T any](ctx context.Context, r *reader, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	return while(ctx, r, scan, func(T) bool { return true }, query, args...)
}

// while returns the rows of a query that can be read, up to the first after
// which more is false.
func while[T any](ctx context.Context, r *reader, scan func(scanner) (T, error), more func(T) bool, query string, args ...any) (found []T, err error) {
	s, err := r.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return nil, r.explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows)
		if r.note(ctx, err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, v)
		if !more(v) {
			return found, nil
		}
	}
	return found, r.explain(rows.Err())
}

// A page ends with the row that is its last by number, or reaches pageBytes.
// Whatever reads many rows holds no more than a page of them.
const (
	pageRows  = 500
	pageBytes = 256 << 10
)

// first returns up to limit rows of a query, fewer if they are large or there
// are no more.
func first[T any](ctx context.Context, r *reader, scan func(scanner) (T, error), limit int, query string, args ...any) ([]T, error) {
	rows, _, err := page(ctx, r, scan, limit, query, args...)
	return rows, err
}

// page is first and says whether there may be more.
func page[T any](ctx context.Context, r *reader, scan func(scanner) (T, error), limit int, query string, args ...any) (rows []T, more bool, err error) {
	if limit <= 0 {
		return nil, true, nil
	}
	size := 0
	rows, err = while(ctx, r, func(row scanner) (T, error) { return scan(sized{row, &size}) }, func(T) bool {
		limit--
		more = limit <= 0 || size >= pageBytes
		return !more
	}, query, args...)
	return rows, more, err
}

// sequence yields what page returns, page after page, until there is no more.
// page is given the row before it, nil at first. No connection is held while
// the loop's body runs.
func sequence[T any](page func(after *T) (rows []T, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last *T
		for {
			rows, more, err := page(last)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if !more {
				return
			}
			last = &rows[len(rows)-1]
		}
	}
}

// sized is a row that adds the bytes of its texts and blobs to size.
type sized struct {
	scanner
	size *int
}

func (s sized) Scan(dest ...any) error {
	err := s.scanner.Scan(dest...)
	for _, d := range dest {
		v := reflect.ValueOf(d).Elem()
		if v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if k := v.Kind(); k == reflect.String || k == reflect.Slice {
			*s.size += v.Len()
		}
	}
	return err
}

// number scans one integer.
func number(row scanner) (n int64, err error) { return n, row.Scan(&n) }
