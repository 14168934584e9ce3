package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dial opens a raw connection to the tickets API.
func (s *system) dial(t *testing.T) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.ticketsURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the service may have closed it
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func write(t *testing.T, conn net.Conn, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(conn, format, args...); err != nil {
		t.Fatal(err)
	}
}

// TestClientsThatMisbehave: what one client does on its connection costs
// nobody else an answer, and what it asked for happens wholly or not at all.
func TestClientsThatMisbehave(t *testing.T) {
	t.Parallel()
	s := newSystem(t, sqlite{})
	bus := s.observe(t)
	cookie := s.cookie(t, "ann@example.com")
	head := "POST /api/tickets HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nCookie: " + cookie + "\r\n"
	const draft = `{"title":"t","price":1}`
	accepted := map[string]int64{}

	// Headers and bodies that never end keep their connections, and nothing else.
	// Headers are given 5 s and bodies 15 s, which takes a soak to see.
	var slow []net.Conn
	for i := range 100 {
		conn := s.dial(t)
		if i%2 == 1 && soak() {
			write(t, conn, "%sContent-Length: %d\r\n\r\n{", head, len(draft))
		} else {
			write(t, conn, "POST /api/tickets HTTP/1.1\r\nHost: t\r\nX-Slow: ")
		}
		slow = append(slow, conn)
	}
	accepted[s.create(t, "ann@example.com").id()] = 0 // others are served meanwhile

	// So do clients that go away in the middle, and after their request.
	for i := range 50 {
		conn := s.dial(t)
		write(t, conn, "%sContent-Length: 90000\r\n\r\n{\"title\":\"%d", head, i)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}

	// Two requests in one piece are answered in their order.
	conn := s.dial(t)
	write(t, conn, "%sContent-Length: %d\r\n\r\n%s%sContent-Length: 2\r\n\r\n{}", head, len(draft), draft, head)
	answers := bufio.NewReader(conn)
	accepted[answered(t, answers, http.StatusCreated).id()] = 0
	answered(t, answers, http.StatusBadRequest)

	// A body in chunks is a body, also one that is too large.
	conn = s.dial(t)
	write(t, conn, "%sTransfer-Encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", head, draft[:5], len(draft)-5, draft[5:])
	accepted[answered(t, bufio.NewReader(conn), http.StatusCreated).id()] = 0
	conn = s.dial(t)
	write(t, conn, "%sTransfer-Encoding: chunked\r\n\r\n", head)
	for range 8 { // 128 KiB
		write(t, conn, "4000\r\n%s\r\n", strings.Repeat("x", 0x4000))
	}
	write(t, conn, "0\r\n\r\n")
	answered(t, bufio.NewReader(conn), http.StatusBadRequest)

	within(t, time.Minute, "the slow ones are cut off", func() bool {
		for _, conn := range slow {
			if _, err := io.Copy(io.Discard, conn); err != nil { // ends when the service hangs up
				t.Fatalf("a slow client was not cut off: %v", err)
			}
		}
		return true
	})
	s.wantOnTheBus(t, bus, accepted)
}

// answered reads one answer from a connection and wants the status.
func answered(t *testing.T, r *bufio.Reader, status int) reply {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%d %s, want %d", resp.StatusCode, raw, status)
	}
	return decoded(t, string(raw))
}
