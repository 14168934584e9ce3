package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"lockstep/internal/group"
)

// errCondition: a condition of the change does not hold. The ports return
// their own ErrConflict for it.
var errCondition = errors.New("condition does not hold")

// change is what one caller wants written, as one piece: all of it or, if it
// returns an error, nothing. It is called by whoever runs the transaction, uses
// nothing but the writer it is given, and may be called twice.
type change func(ctx context.Context, w *writer) error

// writer is the one connection that writes. All but unfit belongs to the
// running transaction.
type writer struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	events     int   // events written by the running transaction
	written    int64 // rows written by the running change
	refused    bool  // the engine refused a statement of it, and may have ended the transaction
	files      files
	directory  directory
	failed     atomic.Pointer[error] // why writing has stopped for good
	locked     atomic.Pointer[error] // why the latest transaction could not begin
}

func newWriter(conn *sql.Conn) *writer {
	return &writer{conn: conn, statements: map[string]*sql.Stmt{}}
}

// do makes a change durable, together with those that wait at the same moment.
// With group.ErrUnknown, which the ports give a name of their own, what is on
// the disk is not known before the file is opened again; or the change may still
// be running: what it writes to besides the file must not be read then.
func (db *DB) do(ctx context.Context, c change) error { return db.commit.Do(ctx, c) }

// ask is do for a change that has a result.
func ask[T any](ctx context.Context, db *DB, c func(ctx context.Context, w *writer) (T, error)) (T, error) {
	var result, none T
	err := db.do(ctx, func(ctx context.Context, w *writer) (err error) {
		result, err = c(ctx, w)
		return err
	})
	if err != nil {
		return none, err
	}
	return result, nil
}

// flush runs the changes in one transaction and wakes the tails if events came
// with them.
func (db *DB) flush(ctx context.Context, batch []change) []error {
	errs := make([]error, len(batch))
	if err := db.writer.transact(ctx, batch, errs); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	if db.writer.events > 0 {
		db.bell.ring()
	}
	return errs
}

// transact runs the changes in one transaction and sets the error of each. It
// returns the failure of the transaction itself: group.ErrUnknown, or nothing was
// written.
//
// Nearly every change either succeeds or fails before it has written anything,
// so savepoints, which cost a fifth of the speed, are only taken in a second
// attempt, after one was missed.
func (w *writer) transact(ctx context.Context, batch []change, errs []error) error {
	if err := w.stopped(); err != nil {
		return err
	}
	err := w.attempt(ctx, batch, errs, (*writer).trust)
	if errors.Is(err, errSpoiled) {
		err = w.attempt(ctx, batch, errs, (*writer).guard)
	}
	return err
}

// attempt runs the changes in one transaction, each through run, whose second
// result means that the transaction is lost.
func (w *writer) attempt(ctx context.Context, batch []change, errs []error, run func(*writer, context.Context, change) (failed, lost error)) error {
	w.events = 0
	if err := w.begin(ctx); err != nil {
		return err
	}
	for i, c := range batch {
		var lost error
		if errs[i], lost = run(w, ctx, c); lost != nil {
			w.rollback(ctx)
			return errors.Join(lost, errs[i])
		}
	}
	return w.end(ctx)
}

// errSpoiled: a change failed and left a trace in the transaction.
var errSpoiled = errors.New("transaction is spoiled by one of its changes")

// trust runs a change that will fail, if it does, before it writes anything.
func (w *writer) trust(ctx context.Context, c change) (failed, lost error) {
	w.written, w.refused = 0, false
	failed = w.call(ctx, c)
	if failed != nil && (w.written > 0 || w.refused) {
		lost = errSpoiled
	}
	return failed, lost
}

// guard runs a change behind a savepoint, so that it leaves no trace if it
// fails.
func (w *writer) guard(ctx context.Context, c change) (failed, lost error) {
	if _, err := w.exec(ctx, "SAVEPOINT member"); err != nil {
		return nil, err
	}
	events := w.events
	if failed = w.call(ctx, c); failed != nil {
		w.events = events
		if _, err := w.exec(ctx, "ROLLBACK TO member"); err != nil {
			return failed, err
		}
	}
	_, lost = w.exec(ctx, "RELEASE member")
	return failed, lost
}

// call runs a change; one that panics has failed, and nobody else with it.
func (w *writer) call(ctx context.Context, c change) (err error) {
	defer func() {
		if r := recover(); r != nil {
			w.refused = true
			err = fmt.Errorf("the change panicked: %v\n%s", r, debug.Stack())
		}
	}()
	return c(ctx, w)
}

// rollback ends a transaction that is not to be committed.
func (w *writer) rollback(ctx context.Context) {
	w.events = 0
	// Its only error says that SQLite has ended the transaction by itself, as
	// it does when the disk is full.
	_, _ = w.exec(ctx, "ROLLBACK")
}

// begin begins a transaction. It waits for another program that has the file
// locked, as long as busyTimeout.
func (w *writer) begin(ctx context.Context) error {
	_, err := w.exec(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		w.locked.Store(nil)
		return nil
	}
	if isBusy(err) {
		err = fmt.Errorf("another program has locked the file for longer than %s: %w", busyTimeout, err)
		w.locked.Store(&err)
	}
	return err
}

// end commits. A commit that fails stops all writing for good: after a failed
// fsync nobody can say what the disk holds, and trying again may report a
// success that is none. So does one whose file is no longer in its place.
func (w *writer) end(ctx context.Context) error {
	_, err := w.exec(ctx, "COMMIT")
	if err != nil {
		return w.stop(fmt.Errorf("a commit failed: %w", err))
	}
	if w.directory.unchanged() {
		return nil
	}
	if err := w.files.replaced(); err != nil {
		return w.stop(err)
	}
	return nil
}

// stop ends all writing, and returns why in the words of a change whose outcome
// nobody knows.
func (w *writer) stop(why error) error {
	stopped := fmt.Errorf("%w: writing has stopped until the service is started again, because %w", group.ErrRefused, why)
	w.failed.Store(&stopped)
	return fmt.Errorf("%w: %w", group.ErrUnknown, why)
}

// stopped returns why writing has stopped for good, or nil.
func (w *writer) stopped() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// unfit returns why a transaction would fail now, as far as is known, or nil.
func (w *writer) unfit() error {
	if err := w.stopped(); err != nil {
		return err
	}
	if err := w.locked.Load(); err != nil {
		return *err
	}
	if err := w.files.replaced(); err != nil {
		_ = w.stop(err) // not a change whose outcome somebody waits for
		return w.stopped()
	}
	return nil
}

// exec runs a statement, which is prepared once, and returns the number of
// rows it changed.
func (w *writer) exec(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(ctx, args...)
	if err != nil {
		w.refused = w.refused || !violates(err) // a violation only undoes the statement
		if isRefusal(err) {
			err = fmt.Errorf("%w: %w", group.ErrRefused, err)
		}
		return 0, err
	}
	n, err := result.RowsAffected()
	w.written += n
	return n, err
}

// define runs a statement that changes no rows.
func (w *writer) define(ctx context.Context, query string) error {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx)
	w.refused = w.refused || err != nil
	return err
}

// expect runs a statement that must change one row; otherwise it returns
// errCondition with the reason.
func (w *writer) expect(ctx context.Context, otherwise, query string, args ...any) error {
	n, err := w.exec(ctx, query, args...)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: %s", errCondition, otherwise)
	}
	return err
}

// row runs a query for one row inside the transaction.
func (w *writer) row(ctx context.Context, query string, args ...any) (*sql.Row, error) {
	s, err := w.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryRowContext(ctx, args...), nil
}

func (w *writer) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := w.statements[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err == nil {
		w.statements[query] = s
	}
	return s, err
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}
