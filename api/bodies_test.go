package api

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"lockstep/test/spawn"
)

// stalling sends a request but for the last byte of its body, and returns its
// connection.
func stalling(t *testing.T, server *httptest.Server, cookie, body string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /api/tickets HTTP/1.1\r\nHost: tickets\r\nCookie: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		cookie, len(body), body[:len(body)-1])
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Case 11.3: 2,000 clients that each send a large body, as slowly as they may,
// took 100 KB each and more. What everybody sends is taken meanwhile, and when
// they have gone so is a large one.
func TestBodiesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	server := httptest.NewServer(f.door)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	cookie := cookieOf(t, "ann")
	large := fmt.Sprintf(`{"title":%q,"price":1}`, strings.Repeat("x", maxBody-100))
	const n = 2 * maxBodies / maxBody
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = stalling(t, server, cookie, large)
	}
	var refused atomic.Int64
	for _, c := range conns {
		go func() {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return // closed in the end
			}
			refused.Add(1)
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
				t.Errorf("refused with %s", resp.Status)
			}
		}()
	}
	spawn.Until(t, "what is too much is refused", func() bool { return refused.Load() >= n/3 })
	if got := ask(t, f.door, "ann", http.MethodPost, "/api/tickets", `{"title":"small","price":1}`); got.status != http.StatusCreated {
		t.Errorf("a small body meanwhile: %d %s", got.status, got.body)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	spawn.Until(t, "a large body is taken once they are gone", func() bool {
		return ask(t, f.door, "ann", http.MethodPost, "/api/tickets", large).status == http.StatusCreated
	})
	if got := refused.Load(); got > 2*n/3 {
		t.Errorf("%d of %d large bodies were refused, want about half", got, n)
	}
}
