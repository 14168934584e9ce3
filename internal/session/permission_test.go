package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// limited is a client that may do what it is allowed, and nothing else.
func limited(t *testing.T, publish, subscribe []string) *Conn {
	t.Helper()
	allowed := &natsd.Permissions{Publish: &natsd.SubjectPermission{Allow: publish}, Subscribe: &natsd.SubjectPermission{Allow: subscribe}}
	server, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, Users: []*natsd.User{
		{Username: "tickets", Password: "p", Permissions: allowed},
	}})
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Shutdown)
	if !server.ReadyForConnections(30 * time.Second) {
		t.Fatal("no server")
	}
	nc, err := nats.Connect(server.ClientURL(), nats.UserInfo("tickets", "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &Conn{nats: nc}
}

// Case 11.13: who may not publish is told before it matters.
func TestMayPublishAsksTheBroker(t *testing.T) {
	t.Parallel()
	c := limited(t, []string{"_STAN.pub.c.ticket:created"}, nil)
	for _, channel := range []string{"order:created", "ticket:created", "ticket:updated"} {
		err := c.MayPublish(t.Context(), "c", channel)
		if channel == "ticket:created" {
			if err != nil {
				t.Errorf("%s: %v", channel, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "may not publish to _STAN.pub.c."+channel) {
			t.Errorf("%s: %v, want the permission that is missing", channel, err)
		}
	}
}

// TestWhatASessionNeedsBesides is asked of the broker, one by one. Case 11.6.
func TestWhatASessionNeedsBesides(t *testing.T) {
	t.Parallel()
	publish := []string{"_STAN.sub.c", "_STAN.subclose.c", "_STAN.close.c", "_STAN.discover.c.pings"}
	hears := []string{"_STAN.acks.>"}
	if err := limited(t, publish, hears).MayTakePart(t.Context(), "c"); err != nil {
		t.Error(err)
	}
	if err := limited(t, publish, []string{"_INBOX.>"}).MayTakePart(t.Context(), "c"); err == nil || !strings.Contains(err.Error(), "may not subscribe to _STAN.acks.") {
		t.Errorf("without confirmations: %v", err)
	}
	for i, subject := range publish {
		less := slices.Delete(slices.Clone(publish), i, i+1)
		err := limited(t, less, hears).MayTakePart(t.Context(), "c")
		if err == nil || !strings.Contains(err.Error(), "may not publish to "+subject) || strings.Count(err.Error(), "this client") != 1 {
			t.Errorf("without %s: %v", subject, err)
		}
	}
}
