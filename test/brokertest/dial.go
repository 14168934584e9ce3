package brokertest

import (
	"context"
	"testing"

	"lockstep/internal/session"
)

// Dial returns a session with the broker that lasts as long as the test. It
// need not be connected yet.
func (b *Broker) Dial(t testing.TB, clientID string) *session.Session {
	t.Helper()
	s, err := session.New(session.Options{URL: b.URL(), ClusterID: ClusterID, ClientID: clientID})
	if err != nil {
		t.Fatalf("session of %s: %v", clientID, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("session of %s: %v", clientID, err)
		}
	})
	return s
}
