package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
)

const (
	dialWait      = 2 * time.Second        // for one TCP connect and the handshake
	reconnectWait = 100 * time.Millisecond // between two attempts of the library to heal a link, plus as much jitter
	writeWait     = 2 * time.Second        // for a peer that reads nothing; a publish may wait this long
)

// connect builds the next generation.
func (s *Session) connect(ctx context.Context) (*Conn, error) {
	secured, err := s.opts.Security.options()
	if err != nil {
		return nil, err
	}
	c := &Conn{generation: s.generation + 1, flight: newFlight(), lost: make(chan struct{})}
	sc, err := stan.Connect(s.opts.ClusterID, s.name(),
		stan.NatsURL(s.url),
		stan.NatsOptions(append(s.natsOptions(ctx, c), secured...)...),
		stan.Pings(int(s.opts.PingInterval/time.Second), s.opts.PingsOut),
		stan.ConnectWait(s.opts.ConnectWait),
		stan.PubAckWait(s.opts.PubAckWait),
		stan.MaxPubAcksInflight(maxUnconfirmed),
		stan.SetConnectionLostHandler(func(_ stan.Conn, err error) { c.lose(err) }),
	)
	if err != nil {
		return nil, s.explain(err)
	}
	c.stan, c.nats = sc, sc.NatsConn()
	if c.nats == nil { // lost again already
		return nil, ErrInterrupted
	}
	s.generation++
	return c, nil
}

// natsOptions watches the link of c. The library owns the connection below: a
// connection of ours would make it send a close for a session it has lost.
func (s *Session) natsOptions(ctx context.Context, c *Conn) []nats.Option {
	return []nats.Option{
		nats.Timeout(dialWait),
		nats.FlusherTimeout(writeWait),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: we closed it
				s.log.WarnContext(ctx, "broker link broke", "generation", c.generation, "err", err)
			}
			c.flight.giveUp(ErrInterrupted)
			s.turned()
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			s.log.InfoContext(ctx, "broker link healed", "generation", c.generation)
			s.metrics.lost(causeLink)
			c.up.fire()
			s.turned()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			attrs := []slog.Attr{slog.Uint64("generation", c.generation), slog.Any("err", err)}
			if sub != nil {
				attrs = append(attrs, slog.String("subject", sub.Subject))
			}
			s.log.LogAttrs(ctx, slog.LevelWarn, "broker client reports", attrs...)
		}),
	}
}

// errClash: another client that is alive has our id.
var errClash = errors.New("another client with this id is connected")

// explain puts the library's short errors into sentences.
func (s *Session) explain(err error) error {
	switch {
	case errors.Is(err, stan.ErrConnectReqTimeout):
		return fmt.Errorf("no streaming server of cluster %q answers at %s: is the cluster id right? %w", s.opts.ClusterID, redacted(s.url), err)
	case strings.Contains(err.Error(), "clientID already registered"):
		return fmt.Errorf("client id %q: %w", s.name(), errClash)
	}
	return fmt.Errorf("connect to the broker at %s: %w", redacted(s.url), err)
}

// rename puts a suffix to a client id that stays taken.
func (s *Session) rename(ctx context.Context) {
	var b [2]byte
	rand.Read(b[:]) // never fails
	s.mu.Lock()
	s.suffix = "-" + hex.EncodeToString(b[:])
	s.mu.Unlock()
	s.log.WarnContext(ctx, "client id stays taken: going on under another one; two processes must not share an id",
		"client_id", clientID(s.opts.ClientID), "new_client_id", s.name(), "waited", s.opts.ClashWait)
}

// name returns the client id in use.
func (s *Session) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return clientID(s.opts.ClientID) + s.suffix
}
