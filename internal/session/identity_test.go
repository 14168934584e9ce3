package session_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep/internal/session"
	"lockstep/test/brokertest"
)

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
