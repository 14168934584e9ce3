package listeners

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/session"
	"lockstep/order"
)

const (
	// clockMargin is how far the clocks of the broker and of the processes that
	// make orders may be apart. Reading starts twice as early, so that a start
	// that is a little earlier needs no second reading.
	clockMargin = 5 * time.Minute

	// readWindow is how many messages a reader is sent ahead, of any size, and
	// readIdle how long the broker may take to go on.
	readWindow = 2 * windowBytes / maxMessage
	readIdle   = 5 * time.Second
)

// Payments reads payment:created from a point in time on, past the group and
// leaving no trace: also what a member holds, or has in quarantine. It keeps
// its position, so each payment is read once while the connection lasts. It is
// used by one goroutine at a time.
type Payments struct {
	session *session.Session

	conn  *session.Conn // whose channel was read; on another one the position may mean nothing
	since time.Time     // what was announced since then was handed over
	read  uint64        // up to this sequence
	all   bool          // the next reading starts with the first message
}

var _ order.Payments = (*Payments)(nil)

// NewPayments returns a reader on the connections of s.
func NewPayments(s *session.Session) *Payments { return &Payments{session: s} }

// CatchUp implements order.Payments. A payment that cannot be decoded names no
// order; the group puts it into quarantine.
func (p *Payments) CatchUp(ctx context.Context, from time.Time, apply func(context.Context, event.Paid) error) error {
	conn := p.session.Current()
	if conn == nil {
		return session.ErrUnavailable
	}
	last, err := probe(ctx, conn, event.PaymentCreated, probeLong, stan.StartWithLastReceived())
	if err != nil || last == nil { // nil: nothing was ever paid
		return err
	}
	if p.conn != conn || last.Sequence < p.read || p.all || !p.since.IsZero() && from.Add(-clockMargin).Before(p.since) {
		p.conn, p.read, p.since = conn, 0, from.Add(-2*clockMargin)
		if p.all || from.IsZero() {
			p.since = time.Time{}
		}
	}
	if p.read >= last.Sequence {
		return nil
	}
	return p.readTo(ctx, last, apply)
}

// start returns where the next reading starts. The last message must be part
// of it, or its end would never be seen.
func (p *Payments) start(last *stan.Msg) stan.SubscriptionOption {
	since := p.since
	if newest := time.Unix(0, last.Timestamp).Add(-clockMargin); newest.Before(since) {
		since = newest
	}
	switch {
	case p.read > 0:
		return stan.StartAtSequence(p.read + 1)
	case p.since.IsZero():
		return stan.DeliverAllAvailable()
	default:
		return stan.StartAtTime(since)
	}
}

// readTo hands over what is behind the position, up to last.
func (p *Payments) readTo(ctx context.Context, last *stan.Msg, apply func(context.Context, event.Paid) error) (err error) {
	messages, over := make(chan *stan.Msg), make(chan struct{})
	sub, err := p.conn.Subscribe(string(event.PaymentCreated), func(m *stan.Msg) {
		select {
		case messages <- m:
		case <-over:
		}
	}, p.start(last), stan.MaxInflight(readWindow))
	if err != nil {
		return err
	}
	defer func() {
		close(over)
		err = errors.Join(err, ignoreLost(p.conn, sub.Close()))
	}()
	idle := time.NewTimer(readIdle)
	defer idle.Stop()
	for p.read < last.Sequence {
		select {
		case m := <-messages:
			if err := p.take(ctx, m, apply); err != nil {
				return err
			}
			idle.Reset(readIdle)
		case <-idle.C:
			p.all = p.read == 0 // the clocks are further apart than we thought
			return fmt.Errorf("%s: the broker did not deliver message %d within %v", event.PaymentCreated, last.Sequence, readIdle)
		case <-p.conn.Lost():
			return session.ErrInterrupted
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.all = false
	return nil
}

func (p *Payments) take(ctx context.Context, m *stan.Msg, apply func(context.Context, event.Paid) error) error {
	if m.Sequence <= p.read {
		return nil
	}
	if paid, err := event.DecodePaid(m.Data); err == nil {
		if err := apply(ctx, paid); err != nil {
			return err
		}
	}
	p.read = m.Sequence
	return nil
}

// ignoreLost drops the error of a close on a connection that is gone.
func ignoreLost(conn *session.Conn, err error) error {
	if closed(conn.Lost()) {
		return nil
	}
	return err
}
