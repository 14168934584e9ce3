package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/internal/group"
)

// errCondition: a condition of the change does not hold. The ports return
// their own ErrConflict for it.
var errCondition = errors.New("condition does not hold")

// change is what one caller wants written, as one piece: all of it or, if it
// returns an error, nothing. It is called by whoever runs the transaction, uses
// nothing but the writer it is given, and may be called twice.
type change func(ctx context.Context, w *writer) error

// writer is the one connection that writes. All but unfit and incomplete belongs
// to the running transaction.
type writer struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	events     int   // events written by the running transaction
	written    int64 // rows written by the running change
	refused    bool  // the engine refused a statement of it, and may have ended the transaction
	files      files
	content    content
	letter     string   // path of the file that tells the next start that writing has stopped
	wanted     []object // what the file must have
	schema     int64    // version of the schema in the running transaction
	log        *slog.Logger
	made       prometheus.Counter
	whole      atomic.Int64          // version of the schema that has all that is wanted; 0 if none has yet
	amiss      atomic.Pointer[error] // what is missing in the file
	directory  directory
	failed     atomic.Pointer[error] // why writing has stopped for good
	locked     atomic.Pointer[error] // why the latest transaction could not begin
}

func newWriter(conn *sql.Conn, o Options) *writer {
	w := &writer{conn: conn, statements: map[string]*sql.Stmt{}, log: o.Log, made: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "lockstep_sqlite_remade_total",
		Help: "Tables, indexes and triggers that another program had dropped or altered and that were made again.",
	})}
	if o.Registerer != nil {
		o.Registerer.MustRegister(w.made)
	}
	return w
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

// begin begins a transaction, in a file that is as the engine left it and has
// all that is wanted. It waits for another program that has the file locked, as
// long as busyTimeout.
func (w *writer) begin(ctx context.Context) error {
	_, err := w.exec(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		w.locked.Store(nil)
		if err = w.look(ctx); err != nil {
			w.rollback(ctx)
		}
		return err
	}
	if isBusy(err) {
		err = fmt.Errorf("another program has locked the file for longer than %s: %w", busyTimeout, err)
	}
	if errors.Is(err, group.ErrRefused) {
		w.locked.Store(&err)
	}
	return err
}

// look returns why the running transaction must not go on.
func (w *writer) look(ctx context.Context) error {
	if err := w.content.overwritten(); err != nil {
		_ = w.stop(err) // nothing was written yet
		return w.stopped()
	}
	return w.keep(ctx)
}

// end commits. A commit that fails stops all writing for good: after a failed
// fsync nobody can say what the disk holds, and trying again may report a
// success that is none. So does one whose file is no longer in its place.
func (w *writer) end(ctx context.Context) error {
	_, err := w.exec(ctx, "COMMIT")
	if err != nil {
		return w.stop(fmt.Errorf("a commit failed: %w", err))
	}
	if w.incomplete() == nil {
		w.whole.Store(w.schema)
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
// nobody knows. It leaves a note for the next start, beside the database, which
// takes none any more.
func (w *writer) stop(why error) error {
	stopped := fmt.Errorf("%w: writing has stopped until the service is started again, because %w", group.ErrRefused, why)
	if w.failed.Swap(&stopped) == nil {
		_ = os.WriteFile(w.letter, []byte(why.Error()), 0o600) // a full disk has no room for it
	}
	return fmt.Errorf("%w: %w", group.ErrUnknown, why)
}

// stopped returns why writing has stopped for good, or nil.
func (w *writer) stopped() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// gone returns why writing has stopped for good if that is because the files are not
// in their places, or nil.
func (w *writer) gone() error {
	err := w.stopped()
	if m := misplaced(""); errors.As(err, &m) {
		return err
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
	if err := errors.Join(w.files.replaced(), w.content.overwritten()); err != nil {
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
		return 0, w.explain(err)
	}
	n, err := result.RowsAffected()
	w.written += n
	return n, err
}

// expect runs a statement that must change one row; otherwise it returns
// errCondition with the reason.
func (w *writer) expect(ctx context.Context, otherwise, query string, args ...any) error {
	n, err := w.exec(ctx, query, args...)
	if err == nil && n == 0 {
		err = w.ineffective(fmt.Errorf("%w: %s", errCondition, otherwise))
	}
	return err
}

// ineffective returns what a statement that changed nothing means: otherwise, or a
// refusal while a table does not take what is written to it, for a trigger may
// have ignored it.
func (w *writer) ineffective(otherwise error) error {
	if amiss := w.incomplete(); amiss != nil && !errors.Is(amiss, errUnguarded) {
		return fmt.Errorf("%w: %w", group.ErrRefused, amiss)
	}
	return otherwise
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
	if err != nil {
		return nil, w.explain(err)
	}
	w.statements[query] = s
	return s, nil
}

// explain says group.ErrRefused of an error that is the file's. A file that is
// damaged takes no more writes: each could damage it further.
func (w *writer) explain(err error) error {
	if isDamage(err) {
		_ = w.stop(fmt.Errorf("the file is damaged: %w", err)) // the caller has the error
	}
	if isRefusal(err) {
		return fmt.Errorf("%w: %w", group.ErrRefused, err)
	}
	return err
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}
