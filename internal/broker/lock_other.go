//go:build !unix

package broker

import (
	"errors"
	"io"
	"path/filepath"

	"github.com/nats-io/nats-streaming-server/util"
)

// lockDir makes dir ours until the lock it returns is closed, with the
// server's own lock file, which is portable.
func lockDir(dir string) (io.Closer, error) {
	f, err := util.CreateLockFile(filepath.Join(dir, lockName))
	if errors.Is(err, util.ErrUnableToLockNow) {
		return nil, errLocked
	}
	return f, err
}
