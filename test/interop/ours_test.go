package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lockstep/internal/broker/brokertest"
	"lockstep/test/mongotest"
)

const jwtKey = "a key for tests only"

// binary is where build puts the binary.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lockstep-interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "lockstep")
	return mongotest.Run(m)
}

// build makes the binary, once.
var build = sync.OnceValue(func() error {
	if out, err := exec.Command("go", "build", "-o", binary, "lockstep/cmd/lockstep").CombinedOutput(); err != nil {
		return fmt.Errorf("build lockstep: %w\n%s", err, out)
	}
	return nil
})

// service is one of our services as a process.
type service struct {
	url, ops string
	command  *exec.Cmd
	said     bytes.Buffer // to be read when the process has ended
}

// startOurs runs a service of the binary on a database until the test ends.
func startOurs(t *testing.T, name, uri string, b *brokertest.Broker, env ...string) *service {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	api, ops := freeAddress(t), freeAddress(t)
	s := &service{url: "http://" + api, ops: "http://" + ops, command: exec.Command(binary, name)}
	s.command.Env = append([]string{
		"MONGO_URI=" + uri, "NATS_URL=" + b.URL(), "NATS_CLUSTER_ID=" + brokertest.ClusterID, "NATS_CLIENT_ID=our-" + name,
		"JWT_KEY=" + jwtKey, strings.ToUpper(name) + "_ADDR=" + api, "OPS_ADDR=" + ops,
	}, env...)
	s.command.Stdout, s.command.Stderr = &s.said, &s.said
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	eventually(t, "our "+name+" service is ready", func() bool {
		resp, err := http.Get(s.ops + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close() // nothing of it is read
		return resp.StatusCode == http.StatusOK
	})
	return s
}

// stop ends the service as an orchestrator would. It may be called twice.
func (s *service) stop(t *testing.T) {
	t.Helper()
	if s.command.ProcessState != nil {
		return
	}
	_ = s.command.Process.Signal(syscall.SIGTERM) // it may have ended
	if err := s.command.Wait(); err != nil || t.Failed() {
		t.Errorf("our service ended with %v and said\n%s", err, s.said.String())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// call sends a request as the user, "" for nobody, and wants the status.
func (s *service) call(t *testing.T, user, method, url string, body any, status int) []byte {
	t.Helper()
	var payload []byte
	if body != nil {
		payload = must[[]byte](t)(json.Marshal(body))
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if user != "" {
		token := exec.Command(binary, "token", "--user", user+"@example.com", "--id", user)
		token.Env = []string{"JWT_KEY=" + jwtKey}
		req.Header.Set("Cookie", strings.TrimSpace(string(must[[]byte](t)(token.Output()))))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s %s = %d %s, want %d", method, url, resp.StatusCode, answer.String(), status)
	}
	return answer.Bytes()
}

// read decodes a JSON answer.
func read[T any](t *testing.T, raw []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}
