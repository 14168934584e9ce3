package publishers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"lockstep/event"
	"lockstep/internal/session"
)

// NATS publishes events on the session of the process. Its methods may be
// called from many goroutines; events published by one goroutine reach the
// broker in that order.
type NATS struct {
	session *session.Session
}

// New returns a publisher that uses s. It owns nothing and needs no closing.
func New(s *session.Session) *NATS { return &NATS{session: s} }

// Publish sends e and returns without waiting for the broker. done is called
// exactly once, maybe before Publish returns and from any goroutine, and must
// not block: with nil after the broker has stored the event, otherwise with an
// error that wraps event.ErrUnreachable, event.ErrUnconfirmed or
// event.ErrRejected. e.Payload must not be changed before that.
func (n *NATS) Publish(e event.Event, done func(error)) {
	if !channel(string(e.Subject)) {
		done(fmt.Errorf("%w: %q is no channel name", event.ErrRejected, e.Subject))
		return
	}
	c := n.session.Current()
	if c == nil {
		done(fmt.Errorf("%w: %w", event.ErrUnreachable, session.ErrUnavailable))
		return
	}
	c.PublishAsync(string(e.Subject), e.Payload, func(err error) { done(translate(err)) })
}

// Connected returns nil once events can be sent, ctx's error if it ends
// before, and session.ErrClosed after the session has.
func (n *NATS) Connected(ctx context.Context) error {
	_, err := n.session.Conn(ctx)
	return err
}

// maxChannel is the longest channel name in bytes: a channel is a directory,
// and its files need room for theirs.
const maxChannel = 200

// channel reports whether the broker keeps a channel of that name: letters,
// digits and _ : - in parts joined by single dots. It is asked here because the
// broker leaves some bad names without an answer, and others break the
// connection.
func channel(name string) bool {
	if name == "" || len(name) > maxChannel {
		return false
	}
	before := byte('.')
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '.' && before == '.':
			return false
		case c == '.', c == '_', c == ':', c == '-', '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
			before = c
		default:
			return false
		}
	}
	return before != '.'
}

// translate puts what a publish met into the words of package event. What is
// not known is unconfirmed: publishing again is right.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, session.ErrUnavailable), errors.Is(err, session.ErrBusy), errors.Is(err, session.ErrForgotten):
		return fmt.Errorf("%w: %w", event.ErrUnreachable, err)
	case rejected(err):
		return fmt.Errorf("%w: %w", event.ErrRejected, err)
	}
	return fmt.Errorf("%w: %w", event.ErrUnconfirmed, err)
}

// rejected reports whether err concerns this very event, and would again. What
// the broker says comes as text.
func rejected(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) ||
		strings.Contains(err.Error(), "rejecting channel") || strings.Contains(err.Error(), "file name too long")
}
