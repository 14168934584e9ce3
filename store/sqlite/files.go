package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"lockstep/internal/group"
)

// files are what a DB has open, as they lay on the disk then. Whoever deletes
// or replaces one of them takes away what is committed afterwards, without an
// error of the engine: it writes on into a file that has no name any more.
type files []file

type file struct {
	path string
	info fs.FileInfo
}

// filesOf remembers the files of the database at path, which may have been named
// by a link, and the one that locks it. They must exist: the log and its index do
// after the first commit.
func filesOf(named, path string, lock *os.File) (files, error) {
	info, err := lock.Stat() // of the handle: it is the one that is locked
	if err != nil {
		return nil, err
	}
	all := files{{path: path + lockSuffix, info: info}}
	for _, name := range slices.Compact([]string{named, path, path + "-wal", path + "-shm"}) {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		all = append(all, file{path: name, info: info})
	}
	return all, nil
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

// misplaced says that a file is not in its place. What is still read of it is
// nobody's store.
type misplaced string

func (m misplaced) Error() string { return string(m) }

// replaced returns an error that names the first file which is no longer in
// its place, or nil.
func (all files) replaced() error {
	for _, f := range all {
		info, err := os.Stat(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return misplaced(f.path + " was deleted or moved away while it was in use")
		case err == nil && !os.SameFile(info, f.info):
			return misplaced(f.path + " was replaced by another file while it was in use")
		}
	}
	return nil
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
