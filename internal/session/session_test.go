package session_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"lockstep/internal/broker/brokertest"
	"lockstep/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = 20 * time.Second

func TestConnectsToAnAddressGivenAsTheServicesOfTheBusGiveIt(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s := start(t, session.Options{URL: "http" + strings.TrimPrefix(b.URL(), "nats"), ClientID: "tickets-depl-5f6.b:c d"})
	c := live(t, s.Session)
	if c.Generation() != 1 {
		t.Errorf("generation %d, want 1", c.Generation())
	}
	if got := s.State(); got.ClientID != "tickets-depl-5f6-b-c-d" || !got.Connected || got.Err != nil {
		t.Errorf("state %+v, want it connected under a legal client id", got)
	}
}

func TestOptionsAreCheckedAllAtOnceAndPasswordsKept(t *testing.T) {
	t.Parallel()
	_, err := session.New(session.Options{URL: "ftp://user:secret@host:1", PingInterval: time.Millisecond})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"cluster id", "client id", "pings", "ftp://user:xxxxx@host:1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %q", err, want)
		}
	}
	for _, url := range []string{"", "host:4222", "nats://", "nats://u:secret@h:bad"} {
		_, err := session.New(session.Options{URL: url, ClusterID: "c", ClientID: "i"})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("url %q: got %v, want an error without the password", url, err)
		}
	}
}

func TestAWrongClusterIDIsNamedAndTriedOn(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s := start(t, session.Options{URL: b.URL(), ClusterID: "another"})
	until(t, "the state names the cluster id", func() bool {
		err := s.State().Err
		return err != nil && strings.Contains(err.Error(), `cluster "another"`)
	})
	if s.Connected() {
		t.Error("connected to a cluster that is not there")
	}
}

func TestABrokerThatComesLaterIsFound(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.Stop()
	s := start(t, session.Options{URL: b.URL()})
	until(t, "the state says why", func() bool {
		err := s.State().Err
		return err != nil && strings.Contains(err.Error(), "no servers available")
	})
	b.Restart()
	live(t, s.Session)
}

func TestABrokenLinkIsHealedWithinTheGeneration(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p := brokertest.NewProxy(t, b.URL())
	s := start(t, session.Options{URL: p.URL()})
	c := live(t, s.Session)
	healed := c.Reconnected()
	p.Cut()
	wait(t, "the link is healed", healed)
	if again := live(t, s.Session); again != c {
		t.Errorf("generation %d after a broken link, want %d still", again.Generation(), c.Generation())
	}
	if err := publish(t, c, "x"); err != nil {
		t.Errorf("publish on the healed link: %v", err)
	}
	s.reconnects(t, "link", 1)
}

func TestARestartWithItsStoreKeepsTheSession(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.Stored(t.TempDir()))
	s := start(t, session.Options{URL: b.URL()})
	c := live(t, s.Session)
	healed := c.Reconnected()
	b.Restart()
	wait(t, "the link is healed", healed)
	if err := publish(t, c, "x"); err != nil {
		t.Errorf("publish after the restart: %v", err)
	}
}

func TestABrokerThatForgotTheSessionGetsANewOne(t *testing.T) {
	t.Parallel()
	for name, notice := range map[string]func(t *testing.T, c *session.Conn){
		"noticed by a ping": func(*testing.T, *session.Conn) {},
		"noticed by a publish": func(t *testing.T, c *session.Conn) {
			if err := publish(t, c, "x"); !errors.Is(err, session.ErrForgotten) {
				t.Errorf("publish: got %v, want ErrForgotten", err)
			}
		},
		"noticed by a subscription": func(t *testing.T, c *session.Conn) {
			if _, err := c.QueueSubscribe("x", "g", func(*stan.Msg) {}); !errors.Is(err, session.ErrForgotten) {
				t.Errorf("subscribe: got %v, want ErrForgotten", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			// A long interval tells apart who noticed.
			o := session.Options{URL: b.URL(), PingInterval: time.Minute}
			if name == "noticed by a ping" {
				o.PingInterval = time.Second
			}
			s := start(t, o)
			c := live(t, s.Session)
			healed := c.Reconnected()
			b.Restart()
			wait(t, "the link is healed", healed)
			notice(t, c)
			wait(t, "the generation ends", c.Lost())
			next := live(t, s.Session)
			if next.Generation() != 2 {
				t.Errorf("generation %d, want 2", next.Generation())
			}
			if err := publish(t, next, "x"); err != nil {
				t.Errorf("publish in the new generation: %v", err)
			}
			s.reconnects(t, "forgotten", 1)
		})
	}
}

func TestASilentBrokerIsNoticedWithinSeconds(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p := brokertest.NewProxy(t, b.URL())
	s := start(t, session.Options{URL: p.URL(), PingInterval: time.Second, PingsOut: 2, ConnectWait: time.Second})
	c := live(t, s.Session)
	p.Freeze()
	began := time.Now()
	wait(t, "the generation ends", c.Lost())
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("noticed after %s, want about three", took)
	}
	if s.Connected() || s.State().Err == nil {
		t.Errorf("state %+v, want it not connected, with a reason", s.State())
	}
	p.Thaw()
	if next := live(t, s.Session); next.Generation() < 2 {
		t.Errorf("generation %d, want another", next.Generation())
	}
	s.reconnects(t, "silent", 1)
}

func TestALongOutageEndsWithANewGenerationUnderTheSameID(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.Stored(t.TempDir()))
	s := start(t, session.Options{URL: b.URL(), ClientID: "pod", PingInterval: time.Second, PingsOut: 2})
	c := live(t, s.Session)
	b.Stop()
	wait(t, "the generation ends", c.Lost())
	b.Restart() // and recovers the client it has never seen leave
	next := live(t, s.Session)
	if id := s.State().ClientID; id != "pod" || next.Generation() != 2 {
		t.Errorf("client id %q in generation %d, want pod in the second", id, next.Generation())
	}
	if err := publish(t, next, "x"); err != nil {
		t.Errorf("publish: %v", err)
	}
}

func TestATakenClientIDIsAskedForAndThenGoneAround(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	first := start(t, session.Options{URL: b.URL(), ClientID: "pod"})
	c := live(t, first.Session)
	second := start(t, session.Options{URL: b.URL(), ClientID: "pod", ClashWait: 300 * time.Millisecond})
	live(t, second.Session)
	id := second.State().ClientID
	if !strings.HasPrefix(id, "pod-") || len(id) != len("pod-")+4 {
		t.Errorf("second one is %q, want pod and a suffix of four digits", id)
	}
	if got := second.log(); !strings.Contains(got, "client id stays taken") || !strings.Contains(got, id) {
		t.Errorf("log\n%s\nlacks the warning with %s", got, id)
	}
	if err := publish(t, c, "x"); err != nil || first.State().Generation != 1 {
		t.Errorf("first one: publish %v, state %+v; want it undisturbed", err, first.State())
	}
}

func TestAClientIDThatIsFreedIsTakenWithoutASuffix(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	first := start(t, session.Options{URL: b.URL(), ClientID: "pod"})
	live(t, first.Session)
	second := start(t, session.Options{URL: b.URL(), ClientID: "pod", ClashWait: time.Minute})
	until(t, "the clash is named", func() bool {
		err := second.State().Err
		return err != nil && strings.Contains(err.Error(), "another client with this id")
	})
	first.stop(t)
	live(t, second.Session)
	if id := second.State().ClientID; id != "pod" {
		t.Errorf("second one is %q, want the id that became free", id)
	}
}

func TestALostSessionNeverThrowsOutTheNewOwnerOfItsID(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p := brokertest.NewProxy(t, b.URL())
	first := start(t, session.Options{URL: p.URL(), ClientID: "pod"})
	live(t, first.Session)
	p.Down() // the broker finds the first one gone
	second := start(t, session.Options{URL: b.URL(), ClientID: "pod"})
	c := live(t, second.Session)
	first.stop(t)
	p.Up()
	if err := publish(t, c, "x"); err != nil {
		t.Errorf("new owner publishes: %v", err)
	}
	if got := second.State(); got.Generation != 1 || got.ClientID != "pod" {
		t.Errorf("new owner %+v, want it undisturbed", got)
	}
}

func TestAStopClosesTheSessionAtTheBroker(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	first := start(t, session.Options{URL: b.URL(), ClientID: "pod"})
	c := live(t, first.Session)
	first.stop(t)
	wait(t, "the generation ends", c.Lost())
	if _, err := first.Conn(t.Context()); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Conn after the stop: %v, want ErrClosed", err)
	}
	if err := publish(t, c, "x"); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("publish after the stop: %v, want ErrUnavailable", err)
	}
	// Only a close frees the id at once while the broker still trusts the old one.
	live(t, start(t, session.Options{URL: b.URL(), ClientID: "pod"}).Session)
}

func TestWhatWaitsForAnAnswerIsGivenUpWhenTheLinkBreaks(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p := brokertest.NewProxy(t, b.URL())
	s := start(t, session.Options{URL: p.URL(), PubAckWait: time.Minute})
	c := live(t, s.Session)
	p.Freeze()
	answers := make(chan error, 10)
	for range cap(answers) {
		c.PublishAsync("x", []byte("data"), func(err error) { answers <- err })
	}
	p.Cut()
	for range cap(answers) {
		if err := receive(t, "an answer", answers); !errors.Is(err, session.ErrInterrupted) {
			t.Errorf("got %v, want ErrInterrupted", err)
		}
	}
}

func TestConnWaitsAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	s := start(t, session.Options{URL: "nats://127.0.0.1:1"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Conn(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

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
