package mongotest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// process is one running mongod.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	log    string
}

// launch starts a server on a loopback port with its data in dir, as a member
// of the named set, or of none.
func launch(path, dir string, port int, set string) (*process, error) {
	p := &process{exited: make(chan struct{}), log: filepath.Join(dir, "mongod.log")}
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	p.cmd = exec.Command(path,
		"--port", strconv.Itoa(port), "--bind_ip", "127.0.0.1", "--nounixsocket",
		"--dbpath", data, "--logpath", p.log, "--logappend",
		"--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "128",
		"--setParameter", "enableTestCommands=1", "--setParameter", "diagnosticDataCollectionEnabled=false",
		// What a killed client left open holds its documents for so long; as
		// docs/mongodb.md advises, but shorter.
		"--setParameter", "transactionLifetimeLimitSeconds=5")
	if set != "" {
		p.cmd.Args = append(p.cmd.Args, "--replSet", set)
	}
	dieTogether(p.cmd)
	started := make(chan error)
	go func() {
		// The kernel's promise is tied to the thread that started the process.
		runtime.LockOSThread()
		defer close(p.exited)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended does not matter: tests kill it
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// kill ends the server at once, frozen or not, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // its only error says that it has ended
	<-p.exited
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// tail returns the end of the server's log.
func (p *process) tail() string {
	all, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(all), []byte{'\n'})
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte{'\n'}))
}
