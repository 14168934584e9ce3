package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server serves one handler on one address.
type Server struct {
	listener net.Listener
	http     *http.Server
	drain    time.Duration
}

// NewServer returns a server that will answer on the listener, which is its
// own from now on, once Run is called. drain bounds how long Run waits for
// requests in flight when it is told to end.
func NewServer(l net.Listener, h http.Handler, drain time.Duration, log *slog.Logger) *Server {
	return &Server{listener: l, drain: drain, http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10, // Node's limit
		// No WriteTimeout: it would cut long streams. Handlers set a deadline
		// for each write instead.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
	}}
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
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
	defer cancel()
	err := s.http.Shutdown(draining)
	if err != nil {
		err = fmt.Errorf("requests cut off on %s: %w", s.listener.Addr(), errors.Join(err, s.http.Close()))
	}
	<-failed // Serve has returned
	return err
}
