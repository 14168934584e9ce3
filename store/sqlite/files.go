package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"lockstep/internal/group"
)

// files are what a DB has open, as they lay on the disk then. Whoever deletes
// or replaces one of them takes away what is committed afterwards, without an
// error of the engine: it writes on into a file that has no name any more.
type files []file

type file struct {
	path   string
	info   fs.FileInfo
	opened *os.File // the database alone: what it begins with is looked at
}

// magic is what every database begins with (sqlite.org/fileformat2.html, 1.3).
const magic = "SQLite format 3\x00"

// filesOf remembers the files of the database at path and the one that locks
// it. They must exist: the log and its index do after the first commit.
func filesOf(path string, lock *os.File) (files, error) {
	info, err := lock.Stat() // of the handle: it is the one that is locked
	if err != nil {
		return nil, err
	}
	all := files{{path: path + lockSuffix, info: info}}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			return nil, err
		}
		all = append(all, file{path: path + suffix, info: info})
	}
	all[1].opened, err = os.Open(path)
	return all, err
}

// close must come after the engine has closed its files: a process that closes
// one loses the locks that it holds on it (fcntl(2)).
func (all files) close() error {
	var errs []error
	for _, f := range all {
		if f.opened != nil {
			errs = append(errs, f.opened.Close())
		}
	}
	return errors.Join(errs...)
}

// same connects only while the files are in their places: a file that lies there
// instead is another one, and where none lies the engine would make one.
type same struct {
	driver.Connector
	files files
}

// Connect implements driver.Connector.
func (c same) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.files.replaced(); err != nil {
		return nil, fmt.Errorf("%w: %w", group.ErrRefused, err)
	}
	return c.Connector.Connect(ctx)
}

// replaced returns an error that names the first file which is no longer in
// its place, or no longer a database, or nil.
func (all files) replaced() error {
	for _, f := range all {
		info, err := os.Stat(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%s was deleted or moved away while it was in use", f.path)
		case err == nil && !os.SameFile(info, f.info):
			return fmt.Errorf("%s was replaced by another file while it was in use", f.path)
		case f.overwritten():
			return fmt.Errorf("%s was overwritten while it was in use and is no database any more", f.path)
		}
	}
	return nil
}

// overwritten reports whether something else is in the database's file. What
// the engine has in memory hides that for long, and then all of it is lost.
func (f file) overwritten() bool {
	if f.opened == nil {
		return false
	}
	var begin [len(magic)]byte
	n, err := f.opened.ReadAt(begin[:], 0)
	return (err == nil || errors.Is(err, io.EOF)) && string(begin[:n]) != magic
}

// directory tells cheaply, one look for four, that nothing in it was created,
// deleted or renamed: each of these sets its time of modification.
type directory struct {
	path  string
	info  fs.FileInfo
	since time.Time // when it was first seen as it is
	known bool      // files in it were looked at when it had been so for long enough
}

// coarsest is the longest tick of a file system's clock, with a margin (FAT:
// two seconds). Two changes within a tick leave the same time behind.
const coarsest = 3 * time.Second

// unchanged reports whether the files need no look: they had one since the
// directory last changed.
func (d *directory) unchanged() bool {
	info, err := os.Stat(d.path)
	if err != nil {
		d.info, d.known = nil, false
		return false
	}
	if d.info == nil || !os.SameFile(info, d.info) || !info.ModTime().Equal(d.info.ModTime()) {
		d.info, d.since, d.known = info, time.Now(), false
	}
	known := d.known
	d.known = known || time.Since(d.since) > coarsest
	return known
}
