package mongotest

import (
	"os/exec"
	"syscall"
)

// dieTogether makes the kernel kill the server when the test's process ends,
// however it ends.
func dieTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
