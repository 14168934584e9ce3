package session_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep/internal/session"
	"lockstep/test/brokertest"
)

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

// TestConnectsToAnAddressWithoutScheme: the Node client takes host:port. Case
// 10.16.
func TestConnectsToAnAddressWithoutScheme(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s := start(t, session.Options{URL: strings.TrimPrefix(b.URL(), "nats://") + ", 127.0.0.1:1"})
	live(t, s.Session)
}

func TestOptionsAreCheckedAllAtOnceAndPasswordsKept(t *testing.T) {
	t.Parallel()
	_, err := session.New(session.Options{URL: "ftp://user:secret@host:1", PingInterval: time.Millisecond})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"cluster id", "client id", "pings", "ftp://host:1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %q", err, want)
		}
	}
	for _, url := range []string{"", ":4222", "nats://", "nats://u:secret@h:bad", "u:secret@h:bad"} {
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

func TestConnWaitsAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	s := start(t, session.Options{URL: "nats://127.0.0.1:1"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Conn(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}
