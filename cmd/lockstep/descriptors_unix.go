//go:build unix

package main

import "syscall"

// descriptors returns how many file descriptors this process may have open, as
// far as it has raised the limit itself.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fewDescriptors
	}
	return int(min(uint64(limit.Cur), manyDescriptors))
}
