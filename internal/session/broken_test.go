package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/internal/session"
	"lockstep/test/brokertest"
)

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
	if took := time.Since(began); took > 10*time.Second {
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
