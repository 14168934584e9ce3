package session

import (
	"strings"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Case 11.13: who may not publish is told before it matters.
func TestMayPublishAsksTheBroker(t *testing.T) {
	t.Parallel()
	may := &natsd.SubjectPermission{Allow: []string{"_STAN.pub.c.ticket:created"}}
	server, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, Users: []*natsd.User{
		{Username: "tickets", Password: "p", Permissions: &natsd.Permissions{Publish: may}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Shutdown)
	if !server.ReadyForConnections(10 * time.Second) {
		t.Fatal("no server")
	}
	nc, err := nats.Connect(server.ClientURL(), nats.UserInfo("tickets", "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	c := &Conn{nats: nc}
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
