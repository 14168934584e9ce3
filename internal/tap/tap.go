// Package tap is a stranger on the bus who hears everything from the first
// message on, belongs to no group and takes nothing away from those that do.
// Proofs use it to see what really was published.
package tap

import (
	"context"
	"fmt"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/session"
)

// Run calls hear with every message of the subjects until ctx ends, and then
// returns nil. After a lost connection everything is heard again from the
// first message on. hear is called for one message of a subject at a time, in
// the subject's order; payload must not be changed.
func Run(ctx context.Context, s *session.Session, subjects []event.Subject, hear func(subject event.Subject, sequence uint64, payload []byte)) error {
	for {
		c, err := s.Conn(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tap: %w", err)
		}
		var subs []stan.Subscription
		for _, subject := range subjects {
			sub, err := c.Subscribe(string(subject), func(m *stan.Msg) { hear(subject, m.Sequence, m.Data) }, stan.DeliverAllAvailable())
			if err != nil && c.Connected() {
				return fmt.Errorf("tap %s: %w", subject, err)
			}
			if err == nil {
				subs = append(subs, sub)
			}
		}
		select {
		case <-ctx.Done():
			for _, sub := range subs {
				_ = sub.Close() // the session may have ended first
			}
			return nil
		case <-c.Lost():
		}
	}
}
