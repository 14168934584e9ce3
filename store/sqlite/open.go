package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"modernc.org/sqlite"

	"lockstep/internal/group"
	records "lockstep/internal/unreadable"
	"lockstep/outbox"
)

// ErrInUse: another process, or another DB of this one, has the file open.
var ErrInUse = errors.New("the file is in use by another process; several processes on one store need MongoDB")

// Options of a DB; the zero value is right for production.
type Options struct {
	Service    Service               // whose file it is; the other service's is refused
	Log        *slog.Logger          // slog.Default if nil
	Registerer prometheus.Registerer // of the metrics; not registered if nil
	Now        func() time.Time      // the clock of the leases and of new locks; time.Now if nil
	MaxBatch   int                   // callers that share one transaction at most; group.DefaultMaxBatch if 0
	Readers    int                   // connections that read; one per processor, at least 4, if 0
}

// DB is one open file. Its methods and those of the ports it gives out may be
// called from many goroutines. It must be closed.
type DB struct {
	path   string
	now    func() time.Time
	lock   *os.File
	write  *sql.DB
	writer *writer
	commit *group.Committer[change]
	read   *reader
	bell   *bell

	rows       *records.Records    // that cannot be read
	unreadable *outbox.Unreadables // rows of the outbox that are no events

	stopped string // see Stopped
	closing sync.Once
}

// Open opens the file at path, and creates it and its tables if need be. It
// returns ErrInUse if another process has it.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	db := &DB{now: o.Now, bell: newBell(), rows: records.New(o.Log, o.Registerer, tables()...), unreadable: outbox.NewUnreadables(o.Log)}
	if db.now == nil {
		db.now = time.Now
	}
	if o.Readers == 0 {
		o.Readers = max(4, runtime.GOMAXPROCS(0))
	}
	err := db.open(ctx, path, o)
	if isBarred(err) {
		err = fmt.Errorf("the file, its -wal or -shm, or their directory cannot be written: give all of them to the user that this process runs as: %w", err)
	}
	if isDamage(err) {
		err = fmt.Errorf("the file is damaged, or is no database: restore a backup, or move it away to begin with nothing: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, errors.Join(err, db.Close()))
	}
	return db, nil
}

func (db *DB) open(ctx context.Context, path string, o Options) (err error) {
	named, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if db.path, err = followed(named); err != nil {
		return err
	}
	_, missing := os.Stat(db.path + lockSuffix)
	if db.lock, err = lockFile(db.path + lockSuffix); err != nil {
		return err
	}
	anew, err := empty(db.path)
	if err != nil {
		return err
	}
	if anew && missing == nil {
		o.Log.WarnContext(ctx, "the database was there once and is begun anew: if you miss what was in it, stop the service and restore a backup",
			slog.String("path", path))
	}
	if db.write, err = connect(db.path, 1, writerPragmas()...); err != nil {
		return err
	}
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return err
	}
	db.writer = newWriter(conn, o)
	if err := migrate(ctx, conn); err != nil {
		return err
	}
	if err := db.writer.start(ctx); err != nil {
		return err
	}
	if err := recognize(ctx, conn, o.Service); err != nil {
		return err
	}
	// The lock on the file proves that whoever held a lease is gone.
	if _, err := conn.ExecContext(ctx, "UPDATE leases SET expiresAt = 1 WHERE expiresAt IS NOT 0"); err != nil {
		return errors.Join(db.writer.incomplete(), err)
	}
	if db.writer.files, err = filesOf(named, db.path, db.lock); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA wal_checkpoint"); err != nil {
		return err
	}
	if err := db.writer.content.open(db.path); err != nil {
		return err
	}
	db.writer.directory.path = filepath.Dir(db.path)
	db.readLetter()
	pool, err := db.readers(o.Readers)
	if err != nil {
		return err
	}
	db.read = &reader{pool: pool, unreadable: db.rows, explain: db.writer.explain, gone: db.writer.gone}
	db.commit = group.New(db.flush, group.Options[change]{MaxBatch: o.MaxBatch, Inline: true})
	return nil
}

// followed returns where the file of that name lies: the engine keeps what
// belongs to it there, and so is one that has two names locked under both.
func followed(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		return path, nil // the engine says what is wrong with it
	}
	return filepath.EvalSymlinks(path)
}

// lockSuffix makes the name of the file whose lock says that a database is in
// use.
const lockSuffix = ".lock"

// writerPragmas make commits durable. A checkpoint each 16 MiB instead of each
// 4 drains a long outbox a fifth faster; more cache than 8 MiB brings nothing.
// A log that grew beyond 64 MiB behind a long read is cut back after it.
func writerPragmas() []string {
	return []string{
		"journal_mode(WAL)", "synchronous(FULL)", "cache_size(-8192)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)",
	}
}

// busyTimeout is how long a statement waits for a lock of another program.
const busyTimeout = 10 * time.Second

// connect returns a pool of at most n connections that stay open.
func connect(path string, n int, pragmas ...string) (*sql.DB, error) {
	connector, err := connectorOf(path, pragmas...)
	if err != nil {
		return nil, err
	}
	return pooled(connector, n), nil
}

// readers is connect for connections that cannot write, each to the file that
// was opened and to no other.
func (db *DB) readers(n int) (*sql.DB, error) {
	connector, err := connectorOf(db.path, "query_only(1)")
	if err != nil {
		return nil, err
	}
	return pooled(same{connector, db.writer.files}, n), nil
}

func connectorOf(path string, pragmas ...string) (driver.Connector, error) {
	query := url.Values{"_pragma": append([]string{fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}, pragmas...)}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: query.Encode()}
	return sqlite.NewConnector(dsn.String())
}

func pooled(c driver.Connector, n int) *sql.DB {
	pool := sql.OpenDB(c)
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	return pool
}

// Close waits for the commits under way and closes the file. Reads and tails
// must have ended; they return errors afterwards, as commits do. Closing again
// does nothing.
func (db *DB) Close() (err error) {
	db.closing.Do(func() { err = db.close() })
	return err
}

func (db *DB) close() error {
	var errs []error
	if db.commit != nil {
		db.commit.Close()
	}
	if db.read != nil {
		errs = append(errs, db.read.close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.close())
	}
	if db.write != nil {
		errs = append(errs, db.write.Close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.content.close())
	}
	if db.lock != nil {
		errs = append(errs, unlockFile(db.lock))
	}
	return errors.Join(errs...)
}

// letterSuffix makes the name of the file that says why writing has stopped.
const letterSuffix = ".stopped"

func (db *DB) readLetter() {
	db.writer.letter = db.path + letterSuffix
	if why, err := os.ReadFile(db.writer.letter); err == nil {
		db.stopped = string(why)
		_ = os.Remove(db.writer.letter) // else it is told twice
	}
}

// Stopped returns why the process that had the file last had stopped writing to
// it; "" if it had not, or there was no room to say so.
func (db *DB) Stopped() string { return db.stopped }

// Ping reports whether the file can be read, is where it was opened and takes
// writes: the failure that ended writing, if there was one, or that another
// program has locked the file. What somebody dropped is made again, or missed.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.writer.unfit(); err != nil {
		return err
	}
	if err := db.completed(ctx); err != nil {
		return err
	}
	return db.read.pool.PingContext(ctx)
}
