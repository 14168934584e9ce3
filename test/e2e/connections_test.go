package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"lockstep/test/spawn"
)

// TestAFloodOfConnectionsLeavesTheProbes, and clients who ask at once, although
// three times as many are opened to one port as the process may have files, and
// some to every other port. Case 11.8. Attack case 36.
func TestAFloodOfConnectionsLeavesTheProbes(t *testing.T) {
	t.Parallel()
	at := spawn.Addresses(t, 5) // tickets, orders, ops, broker and its pages
	tickets, orders, ops, nats, monitor := at[0], at[1], at[2], at[3], at[4]
	up := &process{spawn.Service{
		Name: "up", Program: "/bin/sh",
		Args: []string{
			"-c", `ulimit -n 200 && exec "$0" "$@"`, spawn.Lockstep(t), "up", "--data-dir", t.TempDir(), "--tickets-addr", tickets,
			"--orders-addr", orders, "--ops-addr", ops, "--nats-listen", nats, "--nats-monitor", monitor,
		},
		Env:   []string{"JWT_KEY=" + jwtKey},
		Ready: "http://" + ops + "/readyz",
	}}
	up.Start(t)
	flood(t, tickets, 600)
	for _, other := range []string{orders, ops, nats, monitor} {
		flood(t, other, 200)
	}
	s := &system{ticketsURL: "http://" + tickets, ordersURL: "http://" + orders, ordersOps: "http://" + ops, cookies: map[string]string{}}
	for range 20 {
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			asked(t, "http://"+ops+path)
		}
		asked(t, "http://"+tickets+"/api/tickets")
		asked(t, "http://"+monitor+"/streaming/serverz")
	}
	id := s.create(t, "ann@example.com").id()
	s.untilReplica(t, id, 0)
	s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": id}, http.StatusCreated)
}

// flood opens connections and keeps them, each in the middle of a request.
func flood(t *testing.T, address string, n int) {
	t.Helper()
	var d net.Dialer
	for range n {
		conn, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // the process may have closed it
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost:"); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
	}
}

// asked wants 200 within the time that a probe has.
func asked(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true // the next one has to get in again
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %.300s, %v", url, resp.StatusCode, body, err)
	}
}
