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

// Listen takes the address, so that nobody else can, and returns a server that
// will answer on it once Run is called. drain bounds how long Run waits for
// requests in flight when it is told to end.
func Listen(ctx context.Context, address string, h http.Handler, drain time.Duration, log *slog.Logger) (*Server, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &Server{listener: l, drain: drain, http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10, // Node's limit
		// No WriteTimeout: it would cut long streams. Handlers set a deadline
		// for each write instead.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
	}}, nil
}

// Addr returns the address that was taken.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// Close gives up the address of a server that was never run.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends, then lets requests in flight finish and returns
// nil, or an error if they did not finish in time.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
	defer cancel()
	err := s.http.Shutdown(draining)
	if err != nil {
		err = fmt.Errorf("requests cut off on %s: %w", s.Addr(), errors.Join(err, s.http.Close()))
	}
	<-failed // Serve has returned
	return err
}
