package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/test/spawn"
)

const (
	clusterID = "ticketing"
	jwtKey    = "a key for tests only"
)

// system is a broker, the tickets service and the orders service, each a
// process of its own.
type system struct {
	broker, tickets, orders *process

	natsURL, ticketsURL, ordersURL, ticketsOps, ordersOps string

	mu      sync.Mutex
	cookies map[string]string
}

// newSystem starts a system on the engine.
func newSystem(t *testing.T, e engine, extra ...string) *system {
	t.Helper()
	return newFleet(t, e, 1, extra...).system
}

// cookie returns a session of the user, made by the binary itself.
func (s *system) cookie(t *testing.T, user string) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cookies[user]; c != "" {
		return c
	}
	cmd := exec.Command(spawn.Lockstep(t), "token", "--user", user)
	cmd.Env = []string{"JWT_KEY=" + jwtKey}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("lockstep token: %v", err)
	}
	s.cookies[user] = strings.TrimSpace(string(out))
	return s.cookies[user]
}

// reply is an HTTP answer, its body decoded as an object.
type reply struct {
	status int
	body   map[string]any
	raw    string
	took   time.Duration
}

func (r reply) id() string     { s, _ := r.body["id"].(string); return s }
func (r reply) version() int64 { f, _ := r.body["version"].(float64); return int64(f) }

// try sends a request; err is a failure to get an answer at all.
func (s *system) try(t *testing.T, user, method, url string, body any) (reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return s.tryFor(ctx, t, user, method, url, body)
}

// tryFor is try within a context.
func (s *system) tryFor(ctx context.Context, t *testing.T, user, method, url string, body any) (reply, error) {
	t.Helper()
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if user != "" {
		req.Header.Set("Cookie", s.cookie(t, user))
	}
	begin := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: resp.StatusCode, raw: string(raw), took: time.Since(begin)}
	_ = json.Unmarshal(raw, &r.body) // lists and empty bodies are looked at raw
	return r, nil
}

// decoded returns an object with its text.
func decoded(t *testing.T, raw string) reply {
	t.Helper()
	r := reply{raw: raw}
	if err := json.Unmarshal([]byte(raw), &r.body); err != nil {
		t.Fatalf("%v in %.200s", err, raw)
	}
	return r
}

// do sends a request and wants the status.
func (s *system) do(t *testing.T, user, method, url string, body any, status int) reply {
	t.Helper()
	r, err := s.try(t, user, method, url, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if r.status != status {
		t.Fatalf("%s %s = %d %s, want %d", method, url, r.status, r.raw, status)
	}
	return r
}

type draft struct {
	Title string  `json:"title"`
	Price float64 `json:"price"`
}

func (s *system) create(t *testing.T, user string) reply {
	t.Helper()
	return s.do(t, user, http.MethodPost, s.ticketsURL+"/api/tickets", draft{"concert", 20.5}, http.StatusCreated)
}

func (s *system) ticket(t *testing.T, id string) reply {
	t.Helper()
	return s.do(t, "", http.MethodGet, s.ticketsURL+"/api/tickets/"+id, nil, http.StatusOK)
}

// replica returns what the replica holds of a ticket; status 404 if nothing.
func (s *system) replica(t *testing.T, id string) reply {
	t.Helper()
	r, err := s.try(t, "", http.MethodGet, s.ordersOps+"/ops/replica/tickets/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// untilReplica waits until the replica holds the version.
func (s *system) untilReplica(t *testing.T, id string, version int64) {
	t.Helper()
	until(t, "the replica of "+id+" gets on", func() bool {
		r := s.replica(t, id)
		return r.status == http.StatusOK && r.version() == version
	})
}
