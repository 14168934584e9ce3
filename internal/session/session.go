package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// ErrClosed: the session has ended.
var ErrClosed = errors.New("broker session closed")

// Session keeps one connection alive while Run runs. Its methods may be called
// from many goroutines, Run once.
type Session struct {
	opts       Options
	url        string
	log        *slog.Logger
	metrics    *metrics
	generation uint64 // of the last connection built; Run's own

	changed signal
	mu      sync.Mutex
	suffix  string // put to a client id that was taken
	current *Conn  // nil between two generations
	why     error  // why there is none
	ended   bool
}

// New returns a session that connects once Run is called. Its error lists
// everything wrong with o.
func New(o Options) (*Session, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	url, err := natsURL(o.URL)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Session{opts: o, url: url, log: o.Log, metrics: m, why: errors.New("not connected to the broker yet")}, nil
}

// Run keeps a connection until ctx ends, closes it and returns nil. ctx ends
// after everything that uses the connection has stopped: an ack after the
// close is lost.
func (s *Session) Run(ctx context.Context) error {
	defer s.end()
	var tries backoff
	for {
		c := s.establish(ctx, &tries)
		if c == nil {
			return nil
		}
		began := time.Now()
		s.set(c, nil)
		s.log.InfoContext(ctx, "connected to the broker", "generation", c.generation, "client_id", s.name(), "url", redacted(s.url))
		select {
		case <-ctx.Done():
			s.leave(ctx, c)
			return nil
		case <-c.lost:
			s.drop(ctx, c)
		}
		if time.Since(began) > maxBackoff {
			tries = backoff{}
		}
	}
}

// Conn waits for a live connection and returns it. The error is ctx's, or
// ErrClosed once Run has ended.
func (s *Session) Conn(ctx context.Context) (*Conn, error) {
	for {
		changed := s.changed.next()
		c, ended := s.snapshot()
		if ended {
			return nil, ErrClosed
		}
		if c != nil && c.Connected() {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Current returns the live connection, or nil if there is none at the moment.
func (s *Session) Current() *Conn {
	c, _ := s.snapshot()
	if c == nil || !c.Connected() {
		return nil
	}
	return c
}

// Connected reports whether there is a live connection at the moment.
func (s *Session) Connected() bool { return s.Current() != nil }

// establish tries until it has a connection; nil once ctx has ended.
func (s *Session) establish(ctx context.Context, tries *backoff) *Conn {
	var clashed time.Time // since when the client id is taken
	for ctx.Err() == nil {
		c, err := s.connect(ctx)
		if err == nil {
			return c
		}
		s.report(ctx, err)
		if !errors.Is(err, errClash) {
			clashed = time.Time{}
		} else if clashed.IsZero() {
			clashed = time.Now()
		} else if time.Since(clashed) >= s.opts.ClashWait {
			s.rename(ctx)
			continue
		}
		select {
		case <-time.After(tries.next()):
		case <-ctx.Done():
		}
	}
	return nil
}

// report logs why there is no connection, once for each reason.
func (s *Session) report(ctx context.Context, err error) {
	s.mu.Lock()
	news := s.why == nil || s.why.Error() != err.Error()
	s.mu.Unlock()
	s.set(nil, err)
	if news {
		s.log.WarnContext(ctx, "no connection to the broker: trying on", "err", err)
	}
}

// leave ends a connection that is ours as far as we know. If the link is down
// nothing is sent: the broker finds out by its heartbeats.
func (s *Session) leave(ctx context.Context, c *Conn) {
	if c.Connected() {
		if err := c.stan.Close(); err != nil {
			s.log.WarnContext(ctx, "broker session did not close cleanly", "err", err)
		}
	}
	c.lose(ErrClosed)
	c.nats.Close()
}

// drop forgets a lost connection without a word to the broker.
func (s *Session) drop(ctx context.Context, c *Conn) {
	why := causeSilent
	if forgotten(c.why) {
		why = causeForgotten
	}
	s.metrics.lost(why)
	s.log.WarnContext(ctx, "broker session lost: building another", "generation", c.generation, "cause", string(why), "err", c.why)
	s.set(nil, c.why)
	c.nats.Close()
}
