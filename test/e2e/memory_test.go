package e2e

import (
	"encoding/json"
	"fmt"
	"io"
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

// TestTheLargestTitlesFitIntoMemory attacks with as many titles of the largest
// size as one 256 MB process was killed by: their list is read ten times at
// once, and a replica that has none of them is filled. Cases 11.1 and 11.2.
func TestTheLargestTitlesFitIntoMemory(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
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
		empty := s.another(t, e)
		empty.start(t)
		until(t, "the empty replica is filled", func() bool { return empty.rows(t) == n })
		wantPeak(t, "filling a replica", s.tickets, empty)
	})
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
