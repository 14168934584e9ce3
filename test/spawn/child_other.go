//go:build !linux

package spawn

import "os/exec"

// dieTogether does nothing here: a test that is killed leaves its children.
func dieTogether(*exec.Cmd) {}

// untilStopped does nothing here: a child may go on for a moment.
func (*Child) untilStopped() error { return nil }
