//go:build linux || darwin

package broker

import "syscall"

// diskFree returns how many bytes are free where dir is, for whoever is not root.
func diskFree(dir string) (float64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, err
	}
	return float64(disk.Bavail) * float64(disk.Bsize), nil
}
