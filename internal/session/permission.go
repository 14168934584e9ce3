package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// askWithin bounds a question to the broker.
const askWithin = 5 * time.Second

// MayPublish returns an error if the broker does not let this client publish to
// a channel of a cluster. Nothing is stored: what is sent to find out is empty,
// which the streaming server refuses.
func (c *Conn) MayPublish(ctx context.Context, clusterID, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	subject := "_STAN.pub." + clusterID + "." + channel // the server's default
	if err := c.nats.Publish(subject, nil); err != nil {
		return fmt.Errorf("publish to %s: %w", channel, err)
	}
	if err := c.nats.FlushWithContext(ctx); err != nil { // a refusal comes before its answer
		return fmt.Errorf("publish to %s: %w", channel, err)
	}
	err := c.nats.LastError()
	if errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+subject+`"`) {
		return fmt.Errorf("this client may not publish to %s: %w", subject, err)
	}
	return nil
}
