package tap

import (
	"context"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/session"
	"lockstep/test/brokertest"
)

func TestEverythingIsHeardInOrder(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s, err := session.New(session.Options{URL: b.URL(), ClusterID: brokertest.ClusterID, ClientID: "tap"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	c, err := s.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(data string) {
		done := make(chan error, 1)
		c.PublishAsync(string(event.TicketCreated), []byte(data), func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	publish("before")
	heard := make(chan string, 8)
	tapping, leave := context.WithCancel(ctx)
	tapped := make(chan error, 1)
	go func() {
		tapped <- Run(tapping, s, event.TicketSubjects(), func(_ event.Subject, _ uint64, payload []byte) { heard <- string(payload) })
	}()
	publish("after")
	for _, want := range []string{"before", "after"} {
		select {
		case got := <-heard:
			if got != want {
				t.Errorf("heard %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q is not heard", want)
		}
	}
	leave()
	if err := <-tapped; err != nil {
		t.Errorf("Run = %v", err)
	}
}
