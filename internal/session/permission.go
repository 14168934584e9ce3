package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"lockstep/internal/objectid"
)

// askWithin bounds a question to the broker.
const askWithin = 5 * time.Second

// MayPublish returns an error if the broker does not let this client publish to
// a channel of a cluster. Nothing is stored: what is sent to find out is empty,
// which the streaming server refuses.
func (c *Conn) MayPublish(ctx context.Context, clusterID, channel string) error {
	return c.maySend(ctx, "_STAN.pub."+clusterID+"."+channel) // the server's default
}

// MayTakePart returns an error that names what else a session needs and the
// broker does not let this client do: to subscribe, to be told that a message is
// stored, to ask whether the server lives, to leave.
func (c *Conn) MayTakePart(ctx context.Context, clusterID string) error {
	hears := c.mayHear(ctx, "_STAN.acks."+objectid.New())
	return errors.Join(hears, c.maySend(ctx, "_STAN.sub."+clusterID), c.maySend(ctx, "_STAN.discover."+clusterID+".pings"),
		c.maySend(ctx, "_STAN.subclose."+clusterID), c.maySend(ctx, "_STAN.close."+clusterID))
}

// maySend sends nothing to a subject.
func (c *Conn) maySend(ctx context.Context, subject string) error {
	return c.allowed(ctx, "publish to", subject, func() error { return c.nats.Publish(subject, nil) })
}

// mayHear listens to a subject for a moment.
func (c *Conn) mayHear(ctx context.Context, subject string) error {
	var sub *nats.Subscription
	err := c.allowed(ctx, "subscribe to", subject, func() (err error) {
		sub, err = c.nats.SubscribeSync(subject)
		return err
	})
	if sub != nil {
		_ = sub.Unsubscribe() // it has ended, if it was refused
	}
	return err
}

// allowed tries something with a subject and returns how the broker refused it.
func (c *Conn) allowed(ctx context.Context, what, subject string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	err := try()
	if err == nil {
		err = c.nats.FlushWithContext(ctx) // a refusal comes before its answer
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, subject, err)
	}
	if err = c.nats.LastError(); errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+subject+`"`) {
		return fmt.Errorf("this client may not %s %s: %w", what, subject, err)
	}
	return nil
}
