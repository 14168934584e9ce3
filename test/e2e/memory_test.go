package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"lockstep/test/spawn"
)

// limit is the memory of a process under attack, and allowed what it may take
// at the most: the runtime's limit is a soft one, and a peak is more than a
// container's measure.
const (
	limit   = 96 << 20
	allowed = 200 << 20
)

// TestTheLargestTitlesFitIntoMemory attacks with titles of the largest size, as
// one list of which killed a process of 256 MB: their list is read ten times at
// once, asked for 300 times and not read, and a replica that has none of them is
// filled while their events come. Cases 11.1, 11.2 and 11.3.
func TestTheLargestTitlesFitIntoMemory(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		const n, size = 600, 102_000
		s := newSystem(t, e, fmt.Sprint("GOMEMLIMIT=", limit))
		s.orders.stop(t) // what it misses comes to the empty replica, too
		s.createMany(t, n, strings.Repeat("\u20ac", size/3))
		wantPeak(t, "600 creations", s.tickets)

		s.tickets.ForgetPeak(t)
		var reading sync.WaitGroup
		for range 10 {
			reading.Go(func() { s.wantList(t, n*size) })
		}
		reading.Wait()
		wantPeak(t, "ten lists at once", s.tickets)

		s.tickets.ForgetPeak(t)
		s.leaveUnread(t, 300)
		until(t, "one more list is refused", func() bool {
			r, err := s.try(t, "", http.MethodGet, s.ticketsURL+"/api/tickets", nil)
			return err == nil && r.status == http.StatusServiceUnavailable && strings.Contains(r.raw, "Too many lists")
		})
		wantPeak(t, "300 lists that nobody reads", s.tickets)

		s.tickets.ForgetPeak(t)
		s.leaveUnsent(t, 1500, size)
		s.create(t, "ann@example.com") // what everybody sends is taken
		wantPeak(t, "1,500 bodies that do not end", s.tickets)

		s.tickets.ForgetPeak(t)
		empty := s.another(t, e)
		empty.start(t)
		until(t, "the empty replica is filled", func() bool { return empty.rows(t) == n+1 })
		wantPeak(t, "filling a replica", s.tickets, empty)
	})
}

// leaveUnsent begins n requests with large bodies, of which the last byte does
// not come.
func (s *system) leaveUnsent(t *testing.T, n, size int) {
	t.Helper()
	head := fmt.Sprintf("POST /api/tickets HTTP/1.1\r\nHost: tickets\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", size)
	var d net.Dialer
	for range n {
		conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.ticketsURL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })                        // the process may have closed it
		_, _ = io.WriteString(conn, head+strings.Repeat("x", size-1)) // the process may refuse it meanwhile
	}
}

// createMany creates n tickets of one title.
func (s *system) createMany(t *testing.T, n int, title string) {
	t.Helper()
	var creating sync.WaitGroup
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	close(left)
	s.cookie(t, "ann@example.com")
	for range 8 {
		creating.Go(func() {
			for range left {
				r, err := s.try(t, "ann@example.com", http.MethodPost, s.ticketsURL+"/api/tickets", draft{title, 1})
				if err != nil || r.status != http.StatusCreated {
					t.Errorf("create: %d, %v", r.status, err)
					return
				}
			}
		})
	}
	creating.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// wantList reads the public list and wants at least so many bytes of it.
func (s *system) wantList(t *testing.T, size int64) {
	t.Helper()
	resp, err := http.Get(s.ticketsURL + "/api/tickets")
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n < size {
		t.Errorf("a list of %d bytes, %v; want at least %d", n, err, size)
	}
}

// leaveUnread asks for the public list over n connections and reads nothing
// until the end of the test.
func (s *system) leaveUnread(t *testing.T, n int) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.ticketsURL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // the service may have cut it off
		if _, err := io.WriteString(conn, "GET /api/tickets HTTP/1.1\r\nHost: tickets\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// another returns a process of the orders service with a store of its own.
func (s *system) another(t *testing.T, e engine) *process {
	t.Helper()
	at := spawn.Addresses(t, 2)
	p := &process{spawn.Service{Name: "another", Args: s.orders.Args, Ready: "http://" + at[1] + "/readyz"}}
	p.Env = append(slices.Clone(s.orders.Env), e.env(t, "another", t.TempDir())...)
	p.Env = append(p.Env, "ORDERS_ADDR="+at[0], "OPS_ADDR="+at[1], "NATS_CLIENT_ID=another")
	return p
}

// rows returns how many rows the replica of a process has.
func (p *process) rows(t *testing.T) int {
	t.Helper()
	var status struct{ Services map[string]struct{ Rows int } }
	resp, err := http.Get(strings.Replace(p.Ready, "/readyz", "/ops/replica/status", 1))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	return status.Services["orders"].Rows
}

// wantPeak wants that no process has taken more memory than is allowed.
func wantPeak(t *testing.T, while string, processes ...*process) {
	t.Helper()
	for _, p := range processes {
		peak := p.PeakMemory(t)
		t.Logf("%s: %s took %d MiB at the most", while, p.Name, peak>>20)
		if peak > allowed {
			t.Errorf("%s: %s took %d MiB, want at most %d", while, p.Name, peak>>20, allowed>>20)
		}
	}
}
