package accept

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long tests wait for what has to happen.
const patience = 30 * time.Second

// serve serves h on a port of its own, at most max connections of it.
func serve(t *testing.T, max int, h http.Handler) *Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: patience, MaxHeaderBytes: maxHead, ErrorLog: log.New(io.Discard, "", 0)}
	a := On(s, l, max)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(a) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return a
}

// echo answers with what it was asked and its body.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(body)) // a test sees what is missing
})

// dialled is one client's connection.
type dialled struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, a *Listener) *dialled {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &dialled{c, t, bufio.NewReader(c)}
}

func (d *dialled) send(s string) {
	d.t.Helper()
	if _, err := io.WriteString(d, s); err != nil {
		d.t.Fatal(err)
	}
}

// answer reads one answer.
func (d *dialled) answer() (status int, body string) {
	d.t.Helper()
	resp, err := http.ReadResponse(d.r, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// over waits for the other side to close the connection.
func (d *dialled) over() {
	d.t.Helper()
	if _, err := d.r.ReadByte(); err == nil || os.IsTimeout(err) {
		d.t.Errorf("the connection goes on: %v", err)
	}
}

// idlers is how many connections are idle.
func (a *Listener) idlers() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.idle.Len()
}

// waitFor waits until something holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("not in time: " + what)
		}
	}
}

const (
	host    = "Host: x\r\n"
	maxHead = 16 << 10 // bytes
)

// TestRequestsWithTwoEndsAreRefused, on a connection that is then closed, so
// that what follows is nobody's request. Case 11.8. Attack case 38.
func TestRequestsWithTwoEndsAreRefused(t *testing.T) {
	t.Parallel()
	a := serve(t, 100, echo)
	const smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + host + "\r\n"
	for name, headers := range map[string]string{
		"a length and chunks":                    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
		"chunks and a length":                    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
		"in other letters":                       "content-LENGTH:5\r\ntransfer-encoding:chunked\r\n",
		"with a header between":                  "Content-Length: 5\r\nX: " + strings.Repeat("y", 5000) + "\r\nTransfer-Encoding: chunked\r\n",
		"no length to speak of":                  "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
		"a length that is none":                  "Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
		"a value on a line of its own":           "Content-Length:\r\n 5\r\nTransfer-Encoding:\r\n chunked\r\n",
		"line breaks without a return":           "Content-Length: 5\nTransfer-Encoding: chunked\n",
		"two lengths":                            "Content-Length: 5\r\nContent-Length: 50\r\n",
		"one length twice":                       "Content-Length: 5\r\nContent-Length: 5\r\n",
		"two lengths in a line":                  "Content-Length: 5, 5\r\n",
		"a length with a sign":                   "Content-Length: +5\r\n",
		"a length that does not fit":             "Content-Length: 99999999999999999999\r\n",
		"a length after much space":              "Content-Length: " + strings.Repeat(" ", 100) + "5\r\n",
		"a length as a version 1.0 would end it": "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
		"a header that goes on in a line":        "X: y\r\n Transfer-Encoding: chunked\r\n",
		"a header that goes on behind a tab":     "Content-Length: 5\r\nX: y\r\n\tz\r\n",
		"chunks behind half a line break":        "X: y\nTransfer-Encoding: chunked\r\n",
		"half a line break":                      "Content-Length: 0\n",
		"chunks in version 1.0":                  "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
	} {
		version := "1.1"
		if strings.Contains(name, "version 1.0") {
			version = "1.0"
		}
		for before, first := range map[string]string{
			"":                   "",
			"after another one":  "POST /first HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nok",
			"after chunks":       "POST /first HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1;x=y\r\no\r\n01\r\nk\r\n0\r\nTrailer: Content-Length\r\n\r\n",
			"after a line break": "POST /first HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nok\r\n",
		} {
			t.Run(name+" "+before, func(t *testing.T) {
				t.Parallel()
				c := dial(t, a)
				c.send(first + "POST /twice HTTP/" + version + "\r\n" + host + headers + "\r\n" + smuggled)
				if first != "" {
					if status, body := c.answer(); status != 200 || body != "POST /first ok" {
						t.Errorf("the first one: %d %s", status, body)
					}
				}
				if status, body := c.answer(); status != 400 {
					t.Errorf("answer %d %s", status, body)
				}
				c.over()
			})
		}
	}
}

// TestEveryRequestCounts, also those that net/http answers by itself unless it is
// told: what comes behind one is looked at like any other. Case 11.8.
func TestEveryRequestCounts(t *testing.T) {
	t.Parallel()
	a := serve(t, 100, echo)
	c := dial(t, a)
	c.send("OPTIONS * HTTP/1.1\r\n" + host + "\r\n" +
		"POST /twice HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n" + host + "\r\n")
	if status, body := c.answer(); status != 200 || body != "OPTIONS * " {
		t.Errorf("the first one: %d %s", status, body)
	}
	if status, body := c.answer(); status != 400 {
		t.Errorf("answer %d %s", status, body)
	}
	c.over()
}

// TestHeadsHaveALimit wherever they come on a connection. Case 11.8. Attack case
// 37.
func TestHeadsHaveALimit(t *testing.T) {
	t.Parallel()
	a := serve(t, 100, echo)
	const begin, end, before = "GET /x HTTP/1.1\r\n" + host + "X: ", "\r\n\r\n", "POST /first HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nok"
	for size, want := range map[int]int{maxHead: 200, maxHead + 1: 431, maxHead + 1<<10: 431, maxHead + 64<<10: 431} {
		for name, first := range map[string]string{"alone": "", "after another one": before, "after many": strings.Repeat(before, 50)} {
			c := dial(t, a)
			go func() { // more than the other side reads
				_, _ = io.WriteString(c, first+begin+strings.Repeat("y", size-len(begin)-len(end))+end)
			}()
			for range strings.Count(first, "POST") {
				c.answer()
			}
			if got, _ := c.answer(); got != want {
				t.Errorf("a head of %d bytes %s: %d, want %d", size, name, got, want)
			}
		}
	}
}

// TestRequestsWithOneEndPass, however they are cut up on the way.
func TestRequestsWithOneEndPass(t *testing.T) {
	t.Parallel()
	a := serve(t, 100, echo)
	const chunked = "Transfer-Encoding: chunked\r\n"
	requests := []string{
		"GET /1 HTTP/1.1\r\n" + host + "\r\n",
		"POST /2 HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\n12345",
		"POST /3 HTTP/1.1\r\n" + host + chunked + "\r\n5\r\n12345\r\n0A;ext=\"a\"\r\n0123456789\r\n0\r\n\r\n",
		"POST /4 HTTP/1.1\r\n" + host + "content-length: 0\r\n\r\n",
		"POST /5 HTTP/1.1\r\n" + host + chunked + "\r\n0\r\nX: y\r\n\r\n",
		"GET /6 HTTP/1.1\r\n" + host + "Content-Length: 45\r\n\r\nTransfer-Encoding: chunked\r\nContent-Length: 1",
		"POST /7 HTTP/1.1\r\n" + host + "X-Content-Length: 3\r\nTransfer-Encodings: x\r\nContent-Length: \t4 \r\n\r\nbody",
		"GET /8 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	}
	want := []string{"GET /1 ", "POST /2 12345", "POST /3 123450123456789", "POST /4 ", "POST /5 ",
		"GET /6 Transfer-Encoding: chunked\r\nContent-Length: 1", "POST /7 body", "GET /8 "}
	all := strings.Join(requests, "")
	for _, step := range []int{1, 2, 7, 64, 65, len(all)} {
		c := dial(t, a)
		go func() {
			for rest := all; rest != ""; rest = rest[min(step, len(rest)):] {
				if _, err := io.WriteString(c, rest[:min(step, len(rest))]); err != nil {
					return // seen below
				}
			}
		}()
		for _, expected := range want {
			if status, body := c.answer(); status != 200 || body != expected {
				t.Fatalf("in steps of %d: %d %q, want %q", step, status, body, expected)
			}
		}
	}
}

// TestWhatIsIdleMakesRoom: connections that have sent nothing, part of a head or
// a whole request before. Case 11.8. Attack case 36.
func TestWhatIsIdleMakesRoom(t *testing.T) {
	t.Parallel()
	a := serve(t, 3, echo)
	served := dial(t, a)
	served.send("GET /a HTTP/1.1\r\n" + host + "\r\n")
	served.answer()
	waitFor(t, "it is idle, and for longer than the others", func() bool { return a.idlers() == 1 })
	silent, slow := dial(t, a), dial(t, a)
	slow.send("GET /b HTTP/1.1\r\nHos")
	waitFor(t, "three are open", func() bool { return a.Open() == 3 })
	for _, oldest := range []*dialled{served, silent, slow} {
		c := dial(t, a)
		c.send("GET /c HTTP/1.1\r\n" + host + "\r\n")
		if status, _ := c.answer(); status != 200 {
			t.Errorf("a newcomer got %d", status)
		}
		oldest.over()
		if n := a.Open(); n > 3 {
			t.Errorf("%d are open", n)
		}
	}
	if a.Cut() != 3 {
		t.Errorf("%d were cut, want 3", a.Cut())
	}
}

// TestNobodyIsCutWhileServed: a newcomer waits for the end of an answer, and the
// listener's end ends the wait.
func TestNobodyIsCutWhileServed(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	a := serve(t, 2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			arrived <- struct{}{}
			<-release
		}
		echo(w, r)
	}))
	held := []*dialled{dial(t, a), dial(t, a)}
	for _, c := range held {
		c.send("GET /held HTTP/1.1\r\n" + host + "\r\n")
		<-arrived
	}
	late := dial(t, a)
	late.send("GET /late HTTP/1.1\r\n" + host + "\r\n")
	if err := late.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := late.r.ReadByte(); !os.IsTimeout(err) {
		t.Errorf("a third one was served beside two: %v", err)
	}
	close(release)
	for _, c := range held {
		if _, body := c.answer(); body != "GET /held " {
			t.Errorf("one that was being served got %q", body)
		}
	}
	if err := late.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, body := late.answer(); body != "GET /late " {
		t.Errorf("the one that waited got %q", body)
	}
}

// TestTheEndEndsTheWait for room.
func TestTheEndEndsTheWait(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	a := serve(t, 1, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}))
	held := dial(t, a)
	held.send("GET / HTTP/1.1\r\n" + host + "\r\n")
	<-arrived
	late := dial(t, a)
	waitFor(t, "it waits for room", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.open == 1
	})
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	late.over()
	close(release)
	held.answer()
}

// TestNothingIsCarriedOutOnACutConnection, although the request came before the
// cut.
func TestNothingIsCarriedOutOnACutConnection(t *testing.T) {
	t.Parallel()
	carried := make(chan string, 1)
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { carried <- r.URL.Path })}
	a := On(s, nil, 1)
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := &conn{Conn: ours, of: a, frames: frames{maxHead: maxHead}}
	a.open = 1
	a.note(c, http.StateNew)
	if !a.admit() {
		t.Fatal("no room is made")
	}
	a.note(c, http.StateActive)
	defer func() {
		if recover() != http.ErrAbortHandler || len(carried) > 0 {
			t.Error("a request was carried out on a connection that was cut")
		}
	}()
	c.frames.read([]byte("GET / HTTP/1.1\r\n\r\n"))
	r, err := http.NewRequestWithContext(context.WithValue(t.Context(), connKey{}, net.Conn(c)), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Handler.ServeHTTP(nil, r)
}
