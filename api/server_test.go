package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestAStopLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	s := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "done")
	}), time.Minute)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	body := make(chan string, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.listener.Addr().String(), nil)
		if err != nil {
			body <- err.Error()
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			body <- err.Error()
			return
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body) // an incomplete body is seen below
		body <- string(data)
	}()
	<-arrived
	stop()
	waitRefused(t, s.listener.Addr().String())
	close(release)
	if got := <-body; got != "done" {
		t.Errorf("request in flight got %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestAStopDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	s := listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}), 50*time.Millisecond)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	stop()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a request was cut off and nobody is told")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting for a request that never ends")
	}
}

func TestBodiesThatAreTooLargeAreAnswered(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	s := listen(t, f.door, time.Second)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	body := strings.Repeat("x", 5<<20)
	for _, framed := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
	} {
		got, err := sendAll(t, s.listener.Addr().String(), "POST /api/tickets HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"+framed)
		if err != nil || !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.HasSuffix(got, somethingWrong) {
			t.Errorf("%.30q: %.300q, %v", framed, got, err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHeadsHaveALimit of 16 KiB, as Node's. Case 11.8. Attack case 37.
func TestHeadsHaveALimit(t *testing.T) {
	t.Parallel()
	s := listen(t, newTickets(t).door, time.Second)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	const begin, end = "GET /api/tickets HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ", "\r\n\r\n"
	for size, status := range map[int]string{16 << 10: "200", 16<<10 + 1: "431", 17 << 10: "431", 64 << 10: "431"} {
		got, err := sendAll(t, s.listener.Addr().String(), begin+strings.Repeat("y", size-len(begin)-len(end))+end)
		if err != nil || !strings.HasPrefix(got, "HTTP/1.1 "+status+" ") {
			t.Errorf("a head of %d bytes: %.60q, %v; want %s", size, got, err, status)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRefusalsBeforeAnyRouteAreCounted, whoever refuses, and answers of routes are
// not. Case 11.10.
func TestRefusalsBeforeAnyRouteAreCounted(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	s := NewServer(l, newTickets(t).door, ServerOptions{MaxConnections: 100, Within: time.Second, Log: slog.New(slog.DiscardHandler), Registerer: reg})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	const good, bad = "GET /api/tickets HTTP/1.1\r\nHost: x\r\n\r\n", "POST /api/tickets HTTP/1.1\r\nHost: x\r\n"
	sent := map[string]int{} // by the last answer
	for request, status := range map[string]string{
		"GET /api/tickets HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                       "200",
		"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                           "404",
		bad + "Connection: close\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{": "400",
		"nonsense\r\n\r\n":                  "400 refused",
		"GET /api/tickets HTTP/1.1\r\n\r\n": "400 refused",
		good + good + "nonsense\r\n\r\n":    "400 refused",
		bad + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": "400 refused",
		bad + "Transfer-Encoding: gzip\r\n\r\n":                                  "501 refused",
		bad + "Expect: something\r\nContent-Length: 0\r\n\r\n":                   "417 refused",
		"GET /api/tickets HTTP/3.0\r\nHost: x\r\n\r\n":                           "505 refused",
		bad + "X: " + strings.Repeat("y", 17<<10) + "\r\n\r\n":                   "431 refused",
		bad + "X: " + strings.Repeat("y", 64<<10) + "\r\n\r\n":                   "431 refused",
	} {
		got, err := sendAll(t, l.Addr().String(), request)
		code, refused := strings.CutSuffix(status, " refused")
		if last := got[max(strings.LastIndex(got, "HTTP/1.1 "), 0):]; err != nil || !strings.HasPrefix(last, "HTTP/1.1 "+code+" ") {
			t.Errorf("%.60q: %.300q, %v; want %s", request, got, err, code)
		}
		if refused {
			sent[code]++
		}
	}
	want := "# HELP lockstep_http_refused_total Requests that were refused before any route saw them, for what is wrong with their heads, by the status of the answer.\n# TYPE lockstep_http_refused_total counter\n"
	for code, n := range sent {
		want += fmt.Sprintf("lockstep_http_refused_total{code=%q} %d\n", code, n)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "lockstep_http_refused_total"); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// sendAll is a client that sends everything before it reads.
func sendAll(t *testing.T, address, request string) (string, error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	data, err := io.ReadAll(conn)
	return string(data), err
}

func listen(t *testing.T, h http.Handler, drain time.Duration) *Server {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return NewServer(l, h, ServerOptions{MaxConnections: 100, Within: drain, Log: slog.New(slog.DiscardHandler)})
}

// waitRefused waits until nobody listens on the address.
func waitRefused(t *testing.T, address string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return
		}
		_ = conn.Close()
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("still listening")
		}
	}
}

// Case 11.3: what nobody reads is little, also in the kernel.
func TestAClientThatReadsNothingIsHeldLittle(t *testing.T) {
	t.Parallel()
	taken := make(chan int, 1)
	s := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		block, n := make([]byte, 32<<10), 0
		for err := error(nil); err == nil; n += len(block) {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			_, err = w.Write(block)
		}
		taken <- n
	}), time.Second)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if n := <-taken; n > 1<<20 {
		t.Errorf("%d bytes were taken of an answer that nobody reads, want at most 1 MiB", n)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
