package spawn

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Child is a program that was started. Its methods may be called from many
// goroutines.
type Child struct {
	command *exec.Cmd
	ended   chan struct{}
	err     error // set before ended is closed
}

// Start starts a command that the kernel kills when this process ends, however
// it ends. The child is waited for.
func Start(command *exec.Cmd) (*Child, error) {
	c := &Child{command: command, ended: make(chan struct{})}
	dieTogether(command)
	started := make(chan error)
	go func() {
		// The kernel's promise is tied to the thread that started the child.
		runtime.LockOSThread()
		defer close(c.ended)
		err := command.Start()
		started <- err
		if err == nil {
			c.err = command.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	return c, nil
}

// PID returns the number of the child's process.
func (c *Child) PID() int { return c.command.Process.Pid }

// Ended returns a channel that is closed once the child has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Err waits for the child to end and returns how it did, as exec.Cmd.Wait does.
func (c *Child) Err() error {
	<-c.ended
	return c.err
}

// Signal sends a signal. A child that has ended is no error.
func (c *Child) Signal(s syscall.Signal) error {
	if err := c.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", c.command.Path, err)
	}
	return nil
}

// Freeze stops the child in its tracks and waits until it stands still: all of
// its threads run on until one of them has been told.
func (c *Child) Freeze() error {
	if err := c.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return c.untilStopped()
}

// Kill ends the child at once, frozen or not, and waits until it is gone.
func (c *Child) Kill() {
	_ = c.command.Process.Kill() // its only error says that it has ended
	<-c.ended
}
