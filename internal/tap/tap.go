// Package tap is a stranger on the bus who hears everything from the first
// message on, belongs to no group and takes nothing away from those that do.
// Proofs use it to see what really was published.
package tap

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/session"
)

// Hear is called with every message, for one message of a subject at a time.
// A sequence names a message of its subject. payload must not be changed.
type Hear func(subject event.Subject, sequence uint64, payload []byte)

// retryPause is between two attempts to subscribe.
const retryPause = 200 * time.Millisecond

// Run calls hear with every message of the subjects until ctx ends, and then
// returns nil. After a connection was lost or healed everything is heard again
// from the first message on: what was sent into the gap would come too late.
func Run(ctx context.Context, s *session.Session, subjects []event.Subject, hear Hear) error {
	for {
		c, err := s.Conn(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tap: %w", err)
		}
		healed := c.Reconnected()
		var again <-chan time.Time
		subs, err := subscribe(c, subjects, hear)
		if err != nil { // a broker that has just come back may not answer
			again = time.After(retryPause)
		}
		select {
		case <-ctx.Done():
		case <-c.Lost():
		case <-healed:
		case <-again:
		}
		for _, sub := range subs {
			_ = sub.Close() // the connection may be gone, and the subscription with it
		}
	}
}

func subscribe(c *session.Conn, subjects []event.Subject, hear Hear) ([]stan.Subscription, error) {
	var subs []stan.Subscription
	for _, subject := range subjects {
		sub, err := c.Subscribe(string(subject), func(m *stan.Msg) { hear(subject, m.Sequence, m.Data) }, stan.DeliverAllAvailable())
		if err != nil {
			return subs, fmt.Errorf("tap %s: %w", subject, err)
		}
		subs = append(subs, sub)
	}
	return subs, nil
}
