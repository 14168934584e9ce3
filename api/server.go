package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/internal/accept"
)

// Server serves one handler on one address.
type Server struct {
	listener net.Listener
	http     *http.Server
	within   time.Duration
	draining atomic.Bool
}

// ServerOptions of a Server. All but Registerer are required.
type ServerOptions struct {
	MaxConnections int           // one more takes the place of an idle one, or waits
	Within         time.Duration // how long Run waits for requests in flight when it is told to end
	Log            *slog.Logger
	Registerer     prometheus.Registerer // metrics are registered here; nil registers none
}

// maxHead is how many bytes the head of a request may have: Node's limit. What
// is larger is answered with 431.
const maxHead = 16 << 10

// NewServer returns a server that will answer on the listener, which is its
// own from now on, once Run is called. Requests whose end is not clear are refused
// and their connections closed.
func NewServer(l net.Listener, h http.Handler, o ServerOptions) *Server {
	s := &Server{within: o.Within}
	s.http = &http.Server{
		Handler:           s.lastWhileDraining(h),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    maxHead,
		// No WriteTimeout: it would cut long streams. Handlers set a deadline
		// for each write instead.
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), // what clients do wrong
	}
	accepting := accept.On(s.http, holdingLittle{l}, o.MaxConnections)
	s.listener = accepting
	connectionMetrics(o.Registerer, accepting)
	return s
}

// sendBuffer is how many bytes of an answer the kernel may hold for a client
// that does not take them; Linux doubles it. Left alone it grows to megabytes a
// connection, which count as this process's in a container.
const sendBuffer = 128 << 10

// holdingLittle bounds what the kernel holds for the connections of a listener.
type holdingLittle struct{ net.Listener }

func (l holdingLittle) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if c, ok := conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = c.SetWriteBuffer(sendBuffer) // one that has ended says so when it is used
	}
	return conn, err
}

// Drain asks clients to go elsewhere: requests are answered as before, and each
// answer is the last one of its connection, so that nobody writes into a
// connection at the moment it is closed. It may be called at any time.
func (s *Server) Drain() { s.draining.Store(true) }

func (s *Server) lastWhileDraining(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// Run serves until ctx ends, then lets requests in flight finish and returns
// nil, or an error if they did not finish in time.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", s.listener.Addr(), err)
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.within)
	defer cancel()
	err := s.http.Shutdown(draining)
	if err != nil {
		err = fmt.Errorf("requests cut off on %s: %w", s.listener.Addr(), errors.Join(err, s.http.Close()))
	}
	<-failed // Serve has returned
	return err
}
