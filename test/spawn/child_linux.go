package spawn

import (
	"os/exec"
	"syscall"
)

// dieTogether makes the kernel kill the child when this process ends.
func dieTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
