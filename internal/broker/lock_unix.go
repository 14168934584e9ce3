//go:build unix

package broker

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir makes dir ours until the file it returns is closed, or the process
// ends in whatever way. A flock is held by the open file and not by the
// process, so it also keeps two brokers of one process apart.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
