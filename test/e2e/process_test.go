package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/test/mongotest"
)

// binary is the path of the built lockstep.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lockstep-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "lockstep")
	build := exec.Command("go", "build", "-o", binary, "lockstep/cmd/lockstep")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build lockstep: %v\n%s", err, out)
		return 1
	}
	return mongotest.Run(m)
}

// process is one running lockstep, or a former one.
type process struct {
	name string
	args []string
	env  []string
	url  string // answers 200 when the process is ready

	mu   sync.Mutex
	out  bytes.Buffer
	cmd  *exec.Cmd
	exit chan error
}

// Write collects what the process prints, over all its starts.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start starts the process and waits until it is ready.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.launch(t)
	until(t, p.name+" is ready", func() bool {
		select {
		case err := <-p.exit:
			t.Fatalf("%s ended before it was ready: %v\n%s", p.name, err, p.output())
		default:
		}
		return ready(t.Context(), p.url)
	})
}

// launch starts the process and does not wait for it to be ready.
func (p *process) launch(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(binary, p.args...)
	p.cmd.Env = append([]string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}, p.env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nothing outlives the test
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exit := make(chan error, 1)
	cmd := p.cmd
	go func() { exit <- cmd.Wait() }()
	p.exit = exit
}

// kill ends the process as a crash would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-p.exit
}

// stop ends the process as an orchestrator would and returns how long it took.
// A stop that fails or takes ten seconds fails the test.
func (p *process) stop(t *testing.T) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.exit:
		if err != nil {
			t.Errorf("%s ended with %v after SIGTERM\n%s", p.name, err, tail(p.output()))
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%s still runs 10 s after SIGTERM\n%s", p.name, tail(p.output()))
	}
	return time.Since(begin)
}

// cleanup ends whatever still runs and shows what it said if the test failed.
func (p *process) cleanup(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if p.cmd != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Kill() // it may have ended by itself
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, tail(p.output()))
		}
	})
}

func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

func ready(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// given are the ports that tests of this binary were given.
var given sync.Map

// ports returns n free ports of the loopback interface. They are below those
// that the system gives to outgoing connections, which would take them before
// the process that is meant to have them, or while it is down.
func ports(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	for len(addrs) < n {
		port := 10_000 + rand.IntN(20_000)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue // somebody else's
		}
		addrs = append(addrs, l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return addrs
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, 30*time.Second, what, ok)
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
