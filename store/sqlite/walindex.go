package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// walIndex is what the engine knows of the log: the beginning of the -shm file
// (sqlite.org/walformat.html, 2.3). Its numbers have the machine's byte order.
type walIndex struct {
	pageSize    int64
	frames      int64 // the last valid one of the log, from 1
	checksum    [8]byte
	salt        [8]byte
	backfilled  uint32 // frames that a checkpoint has written to the database
	backfilling uint32 // as far as one goes that is under way, or broke off
}

const (
	walIndexHead = 48  // bytes of the head, of which there are two copies
	walIndexSize = 136 // bytes with what checkpoints note behind them
	walHead      = 32  // bytes of the log before its first frame
	frameHead    = 24  // bytes of a frame before its page
)

// readWALIndex reports whether it could be read while nobody wrote it.
func readWALIndex(shm *os.File) (w walIndex, ok bool) {
	var b [walIndexSize]byte
	if _, err := shm.ReadAt(b[:], 0); err != nil || !bytes.Equal(b[:walIndexHead], b[walIndexHead:2*walIndexHead]) || b[12] == 0 {
		return w, false
	}
	number := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	w.pageSize = int64(binary.NativeEndian.Uint16(b[14:]))
	if w.pageSize == 1 { // 65,536 does not fit
		w.pageSize = 1 << 16
	}
	w.frames, w.backfilled, w.backfilling = int64(number(16)), number(96), number(128)
	copy(w.salt[:], b[32:])
	binary.BigEndian.PutUint32(w.checksum[:], number(24)) // as the log has it
	binary.BigEndian.PutUint32(w.checksum[4:], number(28))
	return w, true
}

// inLog reports whether the log has the last frame that it should have.
func (w walIndex) inLog(log *os.File) bool {
	if w.frames == 0 {
		return true
	}
	var head [frameHead]byte
	if _, err := log.ReadAt(head[:], walHead+(w.frames-1)*(frameHead+w.pageSize)); err != nil {
		return false
	}
	return [8]byte(head[8:]) == w.salt && [8]byte(head[16:]) == w.checksum
}

// content notices that another program writes into the files of a database past
// the engine, which then goes on with what it has in memory, and mixes the two:
// the log must hold what the engine wrote there, and the database may change
// only by a checkpoint.
type content struct {
	db, wal, shm *os.File

	mu       sync.Mutex
	index    walIndex // at the last look
	size     int64    // of the database then
	modified time.Time
}

// open must come after a checkpoint: a log that was recovered is one whose
// checkpoint broke off.
func (c *content) open(path string) (err error) {
	for suffix, f := range map[string]**os.File{"": &c.db, "-wal": &c.wal, "-shm": &c.shm} {
		if *f, err = os.Open(path + suffix); err != nil {
			return err
		}
	}
	return c.overwritten()
}

// close must come after the engine has closed its files: a process that closes
// one loses the locks that it holds on it (fcntl(2)).
func (c *content) close() error {
	var errs []error
	for _, f := range []*os.File{c.db, c.wal, c.shm} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// overwritten returns an error that names the file which somebody else wrote to,
// or nil. What changes while it looks is left to the next look.
func (c *content) overwritten() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	index, ok := readWALIndex(c.shm)
	if !ok {
		return nil
	}
	info, err := c.db.Stat()
	if err != nil {
		return nil // whoever writes will meet it
	}
	whole := index.inLog(c.wal)
	if again, ok := readWALIndex(c.shm); !ok || again != index || index.backfilled < index.backfilling {
		return nil
	}
	same := info.Size() == c.size && info.ModTime().Equal(c.modified)
	checkpointed := index.salt != c.index.salt || index.backfilled != c.index.backfilled
	first := c.modified.IsZero()
	c.index, c.size, c.modified = index, info.Size(), info.ModTime()
	switch {
	case !whole:
		return fmt.Errorf("%s was overwritten or cut while it was in use", c.wal.Name())
	case !same && !checkpointed && !first:
		return fmt.Errorf("%s was overwritten while it was in use", c.db.Name())
	}
	return nil
}
