package session

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
)

// What a publish or a subscription may meet besides the broker's own errors.
var (
	// ErrUnavailable: there is no live connection, and nothing was sent.
	ErrUnavailable = errors.New("no connection to the broker")

	// ErrInterrupted: the connection broke before the broker answered.
	ErrInterrupted = errors.New("connection to the broker interrupted")

	// ErrForgotten: the broker no longer knows the session and did nothing.
	// The session has taken notice and builds the next generation.
	ErrForgotten = errors.New("the broker no longer knows this session")

	// ErrBusy: too many publishes wait for an answer; nothing was sent.
	ErrBusy = errors.New("too many unconfirmed publishes")
)

// Conn is one generation of the session's connection. Its methods may be
// called from many goroutines. It needs no closing: the session does that.
type Conn struct {
	generation uint64
	stan       stan.Conn
	nats       *nats.Conn
	flight     *flight
	up         signal // the link was healed

	once sync.Once
	lost chan struct{}
	why  error // set before lost is closed
}

// Generation returns the number of this connection, from 1 in each process.
func (c *Conn) Generation() uint64 { return c.generation }

// Lost returns a channel that is closed once this generation is over. Its
// subscriptions are gone and its acks reach nobody; what was not acknowledged
// comes again.
func (c *Conn) Lost() <-chan struct{} { return c.lost }

// Reconnected returns a channel that is closed when the link is healed the
// next time. A listener then closes its subscriptions and makes them again,
// and asks for the next channel before it does.
func (c *Conn) Reconnected() <-chan struct{} { return c.up.next() }

// Connected reports whether the link is up and the session not lost.
func (c *Conn) Connected() bool {
	select {
	case <-c.lost:
		return false
	default:
		return c.nats.IsConnected()
	}
}

// NATS returns the connection below, for messages that may get lost. It must
// not be closed.
func (c *Conn) NATS() *nats.Conn { return c.nats }

// PublishAsync sends data to a channel and returns without waiting. answered is
// called exactly once, maybe before PublishAsync returns, from any goroutine,
// and must not block: with nil once the broker has stored the message; with
// ErrUnavailable or ErrBusy if nothing was sent; with ErrForgotten if the
// broker refused the session; with ErrInterrupted as soon as the link breaks,
// since the answer may never come; otherwise with the broker's or the client
// library's error. data must not be changed before the answer.
func (c *Conn) PublishAsync(channel string, data []byte, answered func(error)) {
	if !c.Connected() {
		answered(ErrUnavailable)
		return
	}
	id, ok := c.flight.add(answered)
	if !ok {
		answered(ErrBusy)
		return
	}
	_, err := c.stan.PublishAsync(channel, data, func(_ string, err error) {
		err, gone := judge(err)
		c.flight.settle(id, err)
		if gone {
			c.lose(err)
		}
	})
	if err != nil {
		c.flight.settle(id, unsent(err))
	}
}

// Subscribe is stan.Conn's. A broker that does not know the session is
// reported as ErrForgotten.
func (c *Conn) Subscribe(channel string, cb stan.MsgHandler, opts ...stan.SubscriptionOption) (stan.Subscription, error) {
	sub, err := c.stan.Subscribe(channel, cb, opts...)
	return sub, c.subscribed(err)
}

// QueueSubscribe is stan.Conn's. A broker that does not know the session is
// reported as ErrForgotten.
func (c *Conn) QueueSubscribe(channel, group string, cb stan.MsgHandler, opts ...stan.SubscriptionOption) (stan.Subscription, error) {
	sub, err := c.stan.QueueSubscribe(channel, group, cb, opts...)
	return sub, c.subscribed(err)
}

// subscribed gives the connection up if the broker refused a subscription for
// not knowing the session: earlier than the next ping would.
func (c *Conn) subscribed(err error) error {
	err, gone := judge(err)
	if gone {
		c.lose(err)
	}
	return err
}

// lose ends this generation; the first reason counts. What waits for an answer
// is given up.
func (c *Conn) lose(why error) {
	c.once.Do(func() {
		c.why = why
		close(c.lost)
	})
	c.flight.giveUp(ErrInterrupted)
}

// unsent tells the errors apart with which the client library refuses to send.
func unsent(err error) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// judge wraps err in ErrForgotten if it says that the broker does not know us.
func judge(err error) (judged error, gone bool) {
	if !forgotten(err) {
		return err, false
	}
	return fmt.Errorf("%w: %w", ErrForgotten, err), true
}

// forgotten reports whether err is the broker's way of not knowing a client.
// Its errors travel as text.
func forgotten(err error) bool {
	if err == nil {
		return false
	}
	for _, text := range []string{"stan: invalid publish request", "stan: unknown clientID", "replaced or is no longer registered"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
