package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
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
	for _, chunked := range []bool{false, true} {
		for range 10 {
			body := io.Reader(strings.NewReader(strings.Repeat("x", 5<<20)))
			if chunked {
				body = io.MultiReader(body) // of a length nobody can tell
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.listener.Addr().String()+"/api/tickets", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatalf("chunked %t: %v", chunked, err)
			}
			data, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close() // was read
			if err != nil || resp.StatusCode != http.StatusBadRequest || string(data) != somethingWrong {
				t.Errorf("chunked %t: %d %s, %v", chunked, resp.StatusCode, data, err)
			}
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func listen(t *testing.T, h http.Handler, drain time.Duration) *Server {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return NewServer(l, h, drain, slog.New(slog.DiscardHandler))
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
