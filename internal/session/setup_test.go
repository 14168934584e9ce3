package session_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"lockstep/internal/session"
	"lockstep/test/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// running is a session whose Run runs until the test ends.
type running struct {
	*session.Session
	reg    *prometheus.Registry
	cancel context.CancelFunc
	done   chan error
	logs   *buffer
}

func start(t *testing.T, o session.Options) *running {
	t.Helper()
	r := &running{reg: prometheus.NewRegistry(), done: make(chan error, 1), logs: &buffer{}}
	if o.ClusterID == "" {
		o.ClusterID = brokertest.ClusterID
	}
	if o.ClientID == "" {
		o.ClientID = "client"
	}
	o.Registerer, o.Log = r.reg, slog.New(slog.NewTextHandler(r.logs, nil))
	s, err := session.New(o)
	if err != nil {
		t.Fatalf("new session: %v", err)
	}
	r.Session = s
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r.cancel = cancel
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends the session and waits for it. It may be called twice.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := receive(t, "the session to end", r.done); err != nil {
		t.Errorf("run: %v", err)
	}
	r.done <- nil
}

func (r *running) log() string { return r.logs.String() }

// reconnects holds both metrics to what they should say of a live session.
func (r *running) reconnects(t *testing.T, cause string, n int) {
	t.Helper()
	want := `
		# HELP lockstep_listener_connected 1 while this process has a live session with the broker.
		# TYPE lockstep_listener_connected gauge
		lockstep_listener_connected 1
	`
	until(t, "the gauge says connected", func() bool {
		return testutil.GatherAndCompare(r.reg, strings.NewReader(want), "lockstep_listener_connected") == nil
	})
	all, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "lockstep_session_reconnects_total" {
			continue
		}
		if len(f.GetMetric()) != 3 {
			t.Errorf("%d causes, want all three from the start", len(f.GetMetric()))
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == cause && m.GetCounter().GetValue() != float64(n) {
				t.Errorf("%v reconnects by %s, want %d", m.GetCounter().GetValue(), cause, n)
			}
		}
	}
}

func live(t *testing.T, s *session.Session) *session.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := s.Conn(ctx)
	if err != nil {
		t.Fatalf("wait for a connection: %v; state %+v", err, s.State())
	}
	return c
}

func publish(t *testing.T, c *session.Conn, channel string) error {
	t.Helper()
	answer := make(chan error, 1)
	c.PublishAsync(channel, []byte("data"), func(err error) { answer <- err })
	return receive(t, "the answer to a publish", answer)
}

func receive(t *testing.T, what string, ch <-chan error) error {
	t.Helper()
	select {
	case err := <-ch:
		return err
	case <-time.After(patience):
		t.Fatalf("waited %s for %s", patience, what)
		return nil
	}
}

func wait(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatalf("waited %s until %s", patience, what)
	}
}

// until polls for what nobody signals.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			t.Fatalf("waited %s until %s", patience, what)
		}
	}
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
