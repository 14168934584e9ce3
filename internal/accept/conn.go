package accept

import (
	"container/list"
	"io"
	"net"
	"net/http"
	"strconv"
)

// connKey is where a request's context has its connection.
type connKey struct{}

// conn is a connection that looks at what it reads.
type conn struct {
	net.Conn
	of     *Listener
	frames frames

	// The serving goroutine's own.
	served   int  // requests that reached the handler
	answered bool // the request has reached the handler, or was answered by net/http

	// Guarded by of.mu.
	idle   *list.Element // nil while a request is served
	gone   bool          // does not count any more
	wasCut bool
}

// Read looks for the heads of requests in what it reads.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.frames.read(p[:n])
	return n, err
}

// Write tells of answers that net/http gives by itself: to a request that does not
// reach the handler.
func (c *conn) Write(p []byte) (int, error) {
	if !c.answered {
		c.answered = true
		c.of.refuse(statusOf(p))
	}
	return c.Conn.Write(p)
}

// statusOf returns the status of an answer; 400 if it cannot be read.
func statusOf(answer []byte) int {
	const before = len("HTTP/1.1 ")
	if len(answer) >= before+3 {
		if status, err := strconv.Atoi(string(answer[before : before+3])); err == nil {
			return status
		}
	}
	return http.StatusBadRequest
}

// CloseWrite lets net/http take leave of a client that still sends.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close gives the place back at once.
func (c *conn) Close() error {
	c.of.mu.Lock()
	c.of.forget(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

func (c *conn) cut() bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	return c.wasCut
}

// refusal is the answer to a request that may not be served.
type refusal struct {
	status  int
	message string
}

var (
	twoEnds = refusal{http.StatusBadRequest, "Where this request ends is not clear: it has both Content-Length and Transfer-Encoding, two lengths, Transfer-Encoding in HTTP/1.0, or a header that is not one line with its CRLF"}
	tooLong = refusal{http.StatusRequestHeaderFieldsTooLarge, "The head of this request is too large"}
)

func (r *refusal) answer(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, `{"errors":[{"message":"`+r.message+`"}]}`) // the client has gone
}

// checked calls next with requests that may be served, on connections that were
// not cut before the request was read. Every request comes here, so that those
// that were read and those that are served count alike.
func (a *Listener) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(connKey{}).(*conn)
		c.served, c.answered = c.served+1, true
		if c.cut() {
			panic(http.ErrAbortHandler) // its client could not learn what became of it
		}
		if why := c.frames.refused(c.served); why != nil {
			a.refuse(why.status)
			why.answer(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}
