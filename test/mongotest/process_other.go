//go:build !linux

package mongotest

import "os/exec"

// dieTogether does nothing here: a test that is killed leaves its servers.
func dieTogether(*exec.Cmd) {}
