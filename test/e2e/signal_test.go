package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"lockstep/test/spawn"
)

// TestWhoeverStartedItGoesAway: the reader of its log, or its terminal. Case
// 10.9.
func TestWhoeverStartedItGoesAway(t *testing.T) {
	t.Parallel()
	t.Run("the log has no reader any more", func(t *testing.T) {
		t.Parallel()
		p := startPiped(t)
		p.log.Close()
		p.signal(t, syscall.SIGTERM) // which it logs
		p.wantCleanEnd(t)
	})
	t.Run("the log has a reader who does not read", func(t *testing.T) {
		t.Parallel()
		p := startPiped(t)
		p.fill(t)
		if !answersOn(t, p.ops+"/healthz") {
			t.Error("it does not answer")
		}
		p.signal(t, syscall.SIGTERM)
		p.wantCleanEnd(t)
	})
	t.Run("the terminal hangs up", func(t *testing.T) {
		t.Parallel()
		if signal.Ignored(syscall.SIGHUP) {
			t.Skip("what this test starts is to go on after a hangup, as the test is: it runs under nohup")
		}
		p := startPiped(t)
		p.log.Close() // it is gone with the terminal
		p.signal(t, syscall.SIGHUP)
		p.wantCleanEnd(t)
	})
	t.Run("nohup", func(t *testing.T) {
		t.Parallel()
		p := startPiped(t, "nohup")
		p.signal(t, syscall.SIGHUP)
		for range 3 { // it would have stopped listening at once
			if !answersOn(t, p.ops+"/healthz") {
				t.Fatal("it ended although it was started to go on")
			}
		}
		p.signal(t, syscall.SIGTERM)
		p.wantCleanEnd(t)
	})
}

// piped is an up whose output goes into a pipe.
type piped struct {
	*spawn.Child
	log, to *os.File // the ends of the pipe
	ops     string
}

// fill fills the pipe, as a reader does who does not read.
func (p *piped) fill(t *testing.T) {
	t.Helper()
	fd := int(p.to.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{4096, 1} {
		for err := error(nil); err == nil; {
			_, err = syscall.Write(fd, make([]byte, n))
		}
	}
	if err := syscall.SetNonblock(fd, false); err != nil { // which its process shares
		t.Fatal(err)
	}
}

// startPiped starts it, by another program if one is named, and waits until it
// has said that it is up.
func startPiped(t *testing.T, by ...string) *piped {
	t.Helper()
	a := spawn.Addresses(t, 5)
	line := append(by, spawn.Lockstep(t), "up", "--data-dir="+t.TempDir(), "--tickets-addr="+a[0], "--orders-addr="+a[1],
		"--ops-addr="+a[2], "--nats-listen="+a[3], "--nats-monitor="+a[4])
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(line[0], line[1:]...)
	command.Stdout, command.Stderr = write, write
	child, err := spawn.Start(command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Kill(); read.Close(); write.Close() })
	said := bufio.NewScanner(read)
	for said.Scan() {
		if strings.Contains(said.Text(), "Stop with Ctrl-C") {
			return &piped{Child: child, log: read, to: write, ops: "http://" + a[2]}
		}
	}
	t.Fatal("it ended before it was up")
	return nil
}

func (p *piped) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wantCleanEnd waits for the end and wants exit code 0.
func (p *piped) wantCleanEnd(t *testing.T) {
	t.Helper()
	until(t, "it ends", func() bool {
		select {
		case <-p.Ended():
			return true
		default:
			return false
		}
	})
	if err := p.Err(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
