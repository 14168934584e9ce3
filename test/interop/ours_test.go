package interop

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

const jwtKey = "a key for tests only"

func TestMain(m *testing.M) {
	os.Exit(spawn.Run(func() int { return mongotest.Run(m) }))
}

// service is one of our services as a process.
type service struct {
	spawn.Service
	url, ops string
}

// startOurs runs a service of the binary on a database until the test ends.
func startOurs(t *testing.T, name, uri string, b *brokertest.Broker, env ...string) *service {
	t.Helper()
	a := spawn.Addresses(t, 2)
	s := &service{url: "http://" + a[0], ops: "http://" + a[1]}
	s.Name, s.Args, s.Ready = "our "+name, []string{name}, s.ops+"/readyz"
	s.Env = append([]string{
		"MONGO_URI=" + uri, "NATS_URL=" + b.URL(), "NATS_CLUSTER_ID=" + brokertest.ClusterID, "NATS_CLIENT_ID=our-" + name,
		"JWT_KEY=" + jwtKey, strings.ToUpper(name) + "_ADDR=" + a[0], "OPS_ADDR=" + a[1],
	}, env...)
	s.Start(t)
	t.Cleanup(func() { s.Stop(t) }) // before its database is dropped
	return s
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
		token := exec.Command(spawn.Lockstep(t), "token", "--user", user+"@example.com", "--id", user)
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
