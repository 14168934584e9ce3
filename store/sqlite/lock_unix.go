//go:build unix

package sqlite

import (
	"errors"
	"os"
	"syscall"
)

// lockFile makes path ours until the file it returns is closed or the process
// ends, in whatever way. The lock belongs to the open file and not to the
// process, so it also keeps two stores of one process apart.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unlockFile gives the lock up even where a child process, forked a moment ago,
// still has the file open.
func unlockFile(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
