package spawn

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopLimit is how long a service may take to stop, as promised.
const stopLimit = 10 * time.Second

// Service is a process, of lockstep if not said otherwise, that is started, ended and started again under
// the same settings. Start, Launch, Kill and Stop are called by one goroutine
// at a time.
type Service struct {
	Name    string   // in messages
	Program string   // what to run; lockstep if empty
	Args    []string // the command and its flags
	Env     []string // all of its environment, but for HOME and PATH
	Ready   string   // URL that answers 200 once it is ready

	child  *Child
	output output
}

// Start starts the service and waits until it is ready. At the end of the test
// it is killed if it still runs, and what it said is shown if the test failed.
func (s *Service) Start(t testing.TB) {
	t.Helper()
	s.Launch(t)
	Until(t, s.Name+" is ready", func() bool {
		select {
		case <-s.child.Ended():
			t.Fatalf("%s ended before it was ready: %v", s.Name, s.child.Err())
		default:
		}
		return answers(t.Context(), s.Ready)
	})
}

// Launch is Start without the wait.
func (s *Service) Launch(t testing.TB) {
	t.Helper()
	program := s.Program
	if program == "" {
		program = Lockstep(t)
	}
	command := exec.Command(program, s.Args...)
	command.Env = append([]string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}, s.Env...)
	command.Stdout, command.Stderr = &s.output, &s.output
	again := s.child != nil
	child, err := Start(command)
	if err != nil {
		t.Fatal(err)
	}
	s.child = child
	if again {
		return
	}
	t.Cleanup(func() {
		s.child.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", s.Name, tail(s.Output()))
		}
	})
}

// Ended returns a channel that is closed once the service has ended, of itself
// or not.
func (s *Service) Ended() <-chan struct{} { return s.child.Ended() }

// PID returns the number of the process that was started last.
func (s *Service) PID() int { return s.child.PID() }

// Kill ends the service as a crash would.
func (s *Service) Kill() { s.child.Kill() }

// Freeze stops the service in its tracks, until it is thawed or killed: its
// connections stay open and silent.
func (s *Service) Freeze(t testing.TB) {
	t.Helper()
	if err := s.child.Freeze(); err != nil {
		t.Fatal(err)
	}
}

// Thaw lets a frozen service go on.
func (s *Service) Thaw(t testing.TB) {
	t.Helper()
	if err := s.child.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// Terminate is the beginning of Stop, without the wait.
func (s *Service) Terminate(t testing.TB) {
	t.Helper()
	if err := s.child.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the service as an orchestrator would and returns how long it took.
// A stop that fails or takes ten seconds fails the test.
func (s *Service) Stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	s.Terminate(t)
	s.Await(t)
	return time.Since(began)
}

// Await is the rest of Stop, after Terminate.
func (s *Service) Await(t testing.TB) {
	t.Helper()
	select {
	case <-s.child.Ended():
		if err := s.child.Err(); err != nil {
			t.Errorf("%s ended with %v after SIGTERM", s.Name, err)
		}
	case <-time.After(stopLimit):
		t.Fatalf("%s still runs %v after SIGTERM", s.Name, stopLimit)
	}
}

// Output returns what the service has printed, over all its starts.
func (s *Service) Output() string { return s.output.String() }

// output may be read while it is written.
type output struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}

// tail returns the last lines; of a long run, whose cause may lie far back, all.
func tail(said string) string {
	if os.Getenv("LOCKSTEP_SOAK") != "" {
		return said
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

func answers(ctx context.Context, url string) bool {
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
	_ = resp.Body.Close() // nothing of it is read
	return resp.StatusCode == http.StatusOK
}
