package publishers_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"go.uber.org/goleak"

	"lockstep/event"
	"lockstep/internal/session"
	"lockstep/outbox"
	"lockstep/publishers"
	"lockstep/test/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ outbox.Publisher = (*publishers.NATS)(nil)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

func TestEventsOfOneGoroutineReachTheBrokerInOrder(t *testing.T) {
	t.Parallel()
	const n = 5000
	b := brokertest.Start(t)
	p := start(t, session.Options{URL: b.URL()})
	answers := make(chan error, n)
	for v := range n {
		p.Publish(version(v), func(err error) { answers <- err })
	}
	for range n {
		if err := receive(t, answers); err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
	for v, got := range observe(t, b, n) {
		if got != strconv.Itoa(v) {
			t.Fatalf("message %d on the bus is version %s", v, got)
		}
	}
}

func TestWhatTheBrokerWillNeverTakeIsRejected(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.Stored(t.TempDir()))
	p := start(t, session.Options{URL: b.URL(), PubAckWait: time.Second})
	if err := p.publish(t, version(0)); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]event.Event{
		"no subject":             {Subject: ""},
		"white space":            {Subject: "ticket created"},
		"a line break":           {Subject: "ticket:created\r\nPUB x 0"},
		"a path":                 {Subject: "../ticket:created"},
		"a wildcard":             {Subject: "ticket.*"},
		"all":                    {Subject: ">"},
		"an empty token":         {Subject: "ticket..created"},
		"a leading dot":          {Subject: ".ticket"},
		"a trailing dot":         {Subject: "ticket."},
		"too long for a file":    {Subject: event.Subject(strings.Repeat("x", 201))},
		"another case of a name": {Subject: "Ticket:Updated"},
		"too large":              {Subject: event.TicketUpdated, Payload: make([]byte, 1<<20)},
	} {
		if err := p.publish(t, e); !errors.Is(err, event.ErrRejected) {
			t.Errorf("%s: got %v, want ErrRejected", name, err)
		}
	}
	if err := p.publish(t, event.Event{Subject: event.TicketUpdated, Payload: make([]byte, event.MaxPayload)}); err != nil {
		t.Errorf("the largest payload an outbox takes: %v", err)
	}
	if g := p.session.State().Generation; g != 1 {
		t.Errorf("generation %d, want the session undisturbed by all that", g)
	}
}

func TestWithoutAConnectionNothingIsTried(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p := start(t, session.Options{URL: b.URL()})
	b.Stop()
	eventually(t, "the loss of the link is noticed", func() bool { return !p.session.Connected() })
	if err := p.publish(t, version(0)); !errors.Is(err, event.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Connected(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Connected: got %v, want the context's error", err)
	}
	b.Restart()
	p.connected(t)
}

func TestABrokenLinkAnswersForAllThatWasUnderWay(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	proxy := brokertest.NewProxy(t, b.URL())
	p := start(t, session.Options{URL: proxy.URL(), PubAckWait: time.Minute})
	proxy.Freeze()
	answers := make(chan error, 100)
	for v := range cap(answers) {
		p.Publish(version(v), func(err error) { answers <- err })
	}
	proxy.Cut()
	for range cap(answers) {
		if err := receive(t, answers); !errors.Is(err, event.ErrUnconfirmed) {
			t.Fatalf("got %v, want ErrUnconfirmed", err)
		}
	}
	proxy.Thaw()
	p.connected(t)
	if err := p.publish(t, version(0)); err != nil {
		t.Errorf("publish on the healed link: %v", err)
	}
}

func TestAnAnswerThatDoesNotComeIsUnconfirmed(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	proxy := brokertest.NewProxy(t, b.URL())
	p := start(t, session.Options{URL: proxy.URL(), PubAckWait: 50 * time.Millisecond})
	proxy.Freeze()
	err := p.publish(t, version(0))
	if !errors.Is(err, event.ErrUnconfirmed) || !errors.Is(err, stan.ErrTimeout) {
		t.Errorf("got %v, want ErrUnconfirmed for a timeout", err)
	}
	proxy.Thaw()
}

func TestAReplacedSessionIsToldAndBuiltAnew(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	proxy := brokertest.NewProxy(t, b.URL())
	p := start(t, session.Options{URL: proxy.URL(), ClientID: "pod", PingInterval: time.Minute, ClashWait: time.Millisecond})
	proxy.Down()
	thief, err := stan.Connect(brokertest.ClusterID, "pod", stan.NatsURL(b.URL()))
	if err != nil {
		t.Fatalf("take the client id: %v", err)
	}
	defer thief.Close()
	eventually(t, "the loss of the link is noticed", func() bool { return !p.session.Connected() })
	proxy.Up()
	p.connected(t)
	if err := p.publish(t, version(0)); !errors.Is(err, event.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable: the broker stored nothing", err)
	}
	eventually(t, "the session is built anew", func() bool { return p.session.Connected() && p.session.State().Generation == 2 })
	if err := p.publish(t, version(0)); err != nil {
		t.Errorf("publish in the second generation: %v", err)
	}
	if err := thief.Publish("x", nil); err != nil {
		t.Errorf("new owner of the id publishes: %v, want it undisturbed", err)
	}
}

// A relay of one key that tries on until each version is confirmed must leave
// every version on the bus, in order, whatever happens to the broker.
func TestTryingOnLeavesEveryVersionInOrder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		stored  bool
		disturb func(*brokertest.Broker, *brokertest.Proxy)
	}{
		"the link is cut":             {false, func(_ *brokertest.Broker, p *brokertest.Proxy) { p.Cut() }},
		"the broker restarts":         {true, func(b *brokertest.Broker, _ *brokertest.Proxy) { b.Restart() }},
		"the broker restarts forgets": {false, func(b *brokertest.Broker, _ *brokertest.Proxy) { b.Restart() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n, every = 300, 100
			var opts []brokertest.Option
			if tt.stored {
				opts = append(opts, brokertest.Stored(t.TempDir()))
			}
			b := brokertest.Start(t, opts...)
			proxy := brokertest.NewProxy(t, b.URL())
			p := start(t, session.Options{URL: proxy.URL(), PingInterval: time.Second})
			for v := range n {
				if v%every == every-1 {
					tt.disturb(b, proxy)
				}
				p.insist(t, version(v))
			}
			first := 0
			if strings.HasSuffix(name, "forgets") {
				first = n - 1 // what was on the bus before is gone with the broker
			}
			want := first
			for _, got := range observe(t, b, n-first) {
				if got == strconv.Itoa(want) {
					want++
				}
			}
			if want != n {
				t.Errorf("version %d is missing or out of order", want)
			}
		})
	}
}

func TestAStopUnderLoadAnswersEveryEventOnce(t *testing.T) {
	t.Parallel()
	const n = 20_000
	b := brokertest.Start(t)
	p := start(t, session.Options{URL: b.URL()})
	var answered [n]atomic.Int32
	answers := make(chan error, n)
	for v := range n {
		if v == n/2 {
			p.cancel()
		}
		p.Publish(version(v), func(err error) {
			answered[v].Add(1)
			answers <- err
		})
	}
	for range n {
		if err := receive(t, answers); err != nil && !errors.Is(err, event.ErrUnreachable) && !errors.Is(err, event.ErrUnconfirmed) {
			t.Fatalf("got %v", err)
		}
	}
	if err := <-p.done; err != nil {
		t.Errorf("run: %v", err)
	}
	p.done <- nil
	for v := range answered {
		if got := answered[v].Load(); got != 1 {
			t.Fatalf("event %d was answered %d times", v, got)
		}
	}
}

// running is a publisher with a live session until the test ends.
type running struct {
	*publishers.NATS
	session *session.Session
	cancel  context.CancelFunc
	done    chan error
}

func start(t *testing.T, o session.Options) *running {
	t.Helper()
	o.ClusterID = brokertest.ClusterID
	if o.ClientID == "" {
		o.ClientID = "publisher"
	}
	s, err := session.New(o)
	if err != nil {
		t.Fatalf("new session: %v", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{NATS: publishers.New(s), session: s, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := receive(t, r.done); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	r.connected(t)
	return r
}

func (r *running) connected(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Connected(ctx); err != nil {
		t.Fatalf("wait for a connection: %v; state %+v", err, r.session.State())
	}
}

func (r *running) publish(t *testing.T, e event.Event) error {
	t.Helper()
	answer := make(chan error, 1)
	r.Publish(e, func(err error) { answer <- err })
	return receive(t, answer)
}

// insist publishes e until it is confirmed.
func (r *running) insist(t *testing.T, e event.Event) {
	t.Helper()
	for {
		err := r.publish(t, e)
		if err == nil {
			return
		}
		if !errors.Is(err, event.ErrUnreachable) && !errors.Is(err, event.ErrUnconfirmed) {
			t.Fatalf("publish %s: %v", e.ID(), err)
		}
		r.connected(t)
	}
}

func version(v int) event.Event {
	return event.Event{Key: "k", Version: int64(v), Subject: event.TicketUpdated, Payload: fmt.Append(nil, v)}
}

// observe reads at least n messages from the bus and yields what they carry,
// in order, up to the last one sent.
func observe(t *testing.T, b *brokertest.Broker, n int) []string {
	t.Helper()
	c, err := stan.Connect(brokertest.ClusterID, "observer", stan.NatsURL(b.URL()))
	if err != nil {
		t.Fatalf("connect the observer: %v", err)
	}
	defer c.Close()
	if err := c.Publish(string(event.TicketUpdated), []byte("end")); err != nil {
		t.Fatal(err)
	}
	got, end := make([]string, 0, n), make(chan struct{})
	_, err = c.Subscribe(string(event.TicketUpdated), func(m *stan.Msg) {
		if string(m.Data) == "end" {
			close(end)
			return
		}
		got = append(got, string(m.Data))
	}, stan.DeliverAllAvailable(), stan.MaxInflight(100_000))
	if err != nil {
		t.Fatalf("subscribe the observer: %v", err)
	}
	select {
	case <-end:
	case <-time.After(patience):
		t.Fatal("the observer does not reach the end of the channel")
	}
	return got
}

func receive(t *testing.T, ch <-chan error) error {
	t.Helper()
	select {
	case err := <-ch:
		return err
	case <-time.After(patience):
		t.Fatalf("no answer within %s", patience)
		return nil
	}
}

// eventually polls for what nobody signals.
func eventually(t *testing.T, what string, ok func() bool) {
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
