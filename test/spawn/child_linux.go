package spawn

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieTogether makes the kernel kill the child when this process ends.
func dieTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// untilStopped waits until the child is stopped or has ended.
func (c *Child) untilStopped() error {
	for {
		err := unix.Waitid(unix.P_PID, c.PID(), nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		switch err {
		case unix.EINTR:
		case unix.ECHILD: // somebody else has seen its end
			return nil
		default:
			return err
		}
	}
}
