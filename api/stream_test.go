package api

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/ticket"
)

// Case 11.3: a reader that takes 2 KB/s of a list was never cut off.
func TestAListIsCutOffFromAClientThatIsTooSlow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		pause time.Duration // between reads
		pace  pace
		whole bool
	}{
		{"nothing is taken", time.Hour, pace{300 * time.Millisecond, 1}, false},
		{"too little is taken", 20 * time.Millisecond, pace{300 * time.Millisecond, 10 << 20}, false},
		{"all is taken", 0, usualPace, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := optionsFor(t, prometheus.NewRegistry())
			o.pace = c.pace
			door, err := NewTickets(ticket.NewService(broken{free: 50_000}, ticket.Options{}), o)
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			server := httptest.NewServer(signalling{door, served})
			defer server.Close()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "GET /api/tickets HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			read := make(chan string, 1)
			go func() { read <- slowly(conn, c.pause, served) }()
			select {
			case <-served:
			case <-time.After(30 * time.Second):
				t.Fatal("the list is still being written")
			}
			if whole := strings.HasSuffix(<-read, "\r\n0\r\n\r\n"); whole != c.whole {
				t.Errorf("the list came to its end: %t, want %t", whole, c.whole)
			}
		})
	}
}

// signalling closes served when a request has been served.
type signalling struct {
	http.Handler
	served chan struct{}
}

func (s signalling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer close(s.served)
	s.Handler.ServeHTTP(w, r)
}

// slowly reads with pauses until the end, or until it is told to hurry, and
// returns the last it read.
func slowly(conn net.Conn, pause time.Duration, hurry <-chan struct{}) string {
	r := bufio.NewReaderSize(conn, 4096)
	last := ""
	for {
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-hurry:
				pause = 0
			}
		}
		b := make([]byte, 4096)
		n, err := r.Read(b)
		if last += string(b[:n]); len(last) > 100 {
			last = last[len(last)-100:]
		}
		if err != nil {
			return last
		}
	}
}

// Case 11.3: 1,000 unread lists held 370 MB.
func TestListsBeyondTheirNumberWaitAndAreThenRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLists(Options{})
		var end func()
		for range maxLists {
			var err error
			if end, err = l.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.begin(t.Context()); !errors.Is(err, errLists) {
			t.Errorf("one more list: %v, want errLists", err)
		}
		time.AfterFunc(answerWithin/2, end)
		if _, err := l.begin(t.Context()); err != nil {
			t.Errorf("while one ends: %v, want it to begin", err)
		}
	})
}
