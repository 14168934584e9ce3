//go:build !unix

package sqlite

import "os"

// lockFile opens path. Without flock there is no lock that a killed process
// leaves free, so a second process is not refused here; SQLite's own locks
// still keep the file whole.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
}

func unlockFile(f *os.File) error { return f.Close() }
