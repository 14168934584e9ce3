package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	stand "github.com/nats-io/nats-streaming-server/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/test/spawn"
)

// guarded is a broker under deploy/nats/authorization.conf.
type guarded struct{ addr string }

// password of a user. Services mask it wherever they print.
func password(user string) string { return "secret-of-" + user }

// newGuarded starts NATS with its users, and NATS Streaming on it as one of
// them.
func newGuarded(t *testing.T) guarded {
	t.Helper()
	conf, err := os.ReadFile(filepath.Join("..", "..", "deploy", "nats", "authorization.conf"))
	if err != nil {
		t.Fatal(err)
	}
	file, text := filepath.Join(t.TempDir(), "nats.conf"), string(conf)
	for _, user := range []string{"streaming", "tickets", "orders", "expiration", "payments"} {
		text = strings.ReplaceAll(text, "$"+strings.ToUpper(user)+"_PASSWORD", password(user))
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	natsd.NoErrOnUnknownFields(true) // as nats-streaming-server reads it
	opts, err := natsd.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	addr := spawn.Addresses(t, 1)[0]
	opts.Host, opts.NoLog, opts.NoSigs = "127.0.0.1", true, true
	if _, err := fmt.Sscanf(addr, "127.0.0.1:%d", &opts.Port); err != nil {
		t.Fatal(err)
	}
	core, err := natsd.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	core.Start()
	t.Cleanup(core.Shutdown)
	if !core.ReadyForConnections(30 * time.Second) {
		t.Fatal("the core server does not listen")
	}
	so := stand.GetDefaultOptions()
	if err := stand.ProcessConfigFile(file, so); err != nil {
		t.Fatal(err)
	}
	so.NATSServerURL = "nats://" + addr
	streaming, err := stand.RunServerWithOpts(so, &natsd.Options{NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(streaming.Shutdown)
	return guarded{addr}
}

func (g guarded) url(user string) string {
	return "nats://" + user + ":" + password(user) + "@" + g.addr
}

// client is an honest client of a user, which is told what it may not do.
type client struct {
	stan.Conn
	id      string
	refused chan error
}

func (g guarded) connect(t *testing.T, user string) client {
	t.Helper()
	c := client{id: user + "-" + objectid.New(), refused: make(chan error, 100)}
	told := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.refused <- err })
	var err error
	c.Conn, err = stan.Connect(clusterID, c.id, stan.NatsURL(g.url(user)), stan.NatsOptions(told),
		stan.ConnectWait(30*time.Second), stan.Pings(1000, 100))
	if err != nil {
		t.Fatalf("%s may not connect: %v", user, err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the streaming server may be gone by then
	return c
}

// publish returns how the broker refused a message; nil if it took it.
func (c client) publish(t *testing.T, subject event.Subject, payload string) error {
	t.Helper()
	acks := make(chan error, 1)
	if _, err := c.PublishAsync(string(subject), []byte(payload), func(_ string, err error) { acks <- err }); err != nil {
		t.Fatal(err)
	}
	return c.answer(t, acks)
}

// answer returns an answer, or a refusal.
func (c client) answer(t *testing.T, answers <-chan error) error {
	t.Helper()
	select {
	case err := <-answers:
		return err
	case err := <-c.refused:
		return err
	case <-time.After(time.Minute):
		t.Fatal("neither an answer nor a refusal")
		return nil
	}
}

// newGuardedSystem starts both services under users of their own.
func newGuardedSystem(t *testing.T, g guarded) *system {
	t.Helper()
	dir, a := t.TempDir(), spawn.Addresses(t, 4)
	s := &system{
		cookies: map[string]string{}, ticketsURL: "http://" + a[0], ordersURL: "http://" + a[1],
		ticketsOps: "http://" + a[2], ordersOps: "http://" + a[3],
	}
	shared := []string{"NATS_CLUSTER_ID=" + clusterID, "JWT_KEY=" + jwtKey, "LOG_FORMAT=json", "TICKET_DELETE=on"}
	s.tickets = pod("tickets", 0, a[2], shared, sqlite{}.env(t, "tickets", dir), "TICKETS_ADDR="+a[0], "CANONICAL_URL="+s.ordersOps, "NATS_URL="+g.url("tickets"))
	s.orders = pod("orders", 0, a[3], shared, sqlite{}.env(t, "orders", dir), "ORDERS_ADDR="+a[1], "CANONICAL_URL="+s.ticketsOps, "NATS_URL="+g.url("orders"))
	s.tickets.start(t)
	s.orders.start(t)
	return s
}

// Case 11.6: each service does all that it does with the permissions that are
// documented, and no more.
func TestServicesNeedNoMorePermissionsThanDocumented(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	s := newGuardedSystem(t, g)
	pings, hints := g.hear(t, "streaming", "_STAN.discover."+clusterID+".pings"), g.hear(t, "orders", "lockstep.hint.orders-service")
	order := func(ticket string) string {
		t.Helper()
		return s.do(t, "bob@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": ticket}, http.StatusCreated).id()
	}
	id := s.create(t, "ann@example.com").id()
	s.untilReplica(t, id, 0)
	cancelled := order(id)
	s.untilHeld(t, id, cancelled)
	s.do(t, "bob@example.com", http.MethodDelete, s.ordersURL+"/api/orders/"+cancelled, nil, http.StatusNoContent)
	s.untilHeld(t, id, "")
	s.untilReplica(t, id, 2)

	paid, expired := order(id), ""
	s.untilHeld(t, id, paid)
	say := func(user string, subject event.Subject, payload string) {
		t.Helper()
		if err := g.connect(t, user).publish(t, subject, payload); err != nil {
			t.Fatalf("%s may not publish %s: %v", user, subject, err)
		}
	}
	say("payments", event.PaymentCreated, fmt.Sprintf(`{"id":"p","orderId":%q,"stripeId":"s"}`, paid))
	s.untilStatus(t, paid, "complete")
	other := s.create(t, "ann@example.com").id()
	s.untilReplica(t, other, 0)
	expired = order(other)
	s.untilHeld(t, other, expired)
	say("expiration", event.ExpirationComplete, fmt.Sprintf(`{"orderId":%q}`, expired))
	s.untilHeld(t, other, "")
	s.untilReplica(t, other, 2)
	s.do(t, "ann@example.com", http.MethodDelete, s.ticketsURL+"/api/tickets/"+other, nil, http.StatusNoContent)
	s.untilReplica(t, other, 3)

	early := objectid.New() // makes a member ask its peers
	say("tickets", event.TicketUpdated, fmt.Sprintf(`{"id":%q,"version":9,"title":"t","price":1}`, early))
	until(t, "the member asks its peers", func() bool { return hints.of(early) > 0 })
	until(t, "both services have asked whether the broker lives", func() bool { return pings.of("") >= 2 })
	s.orders.stop(t) // which leaves the group
	s.tickets.stop(t)
	for _, p := range []*process{s.tickets, s.orders} {
		if said := strings.ToLower(p.Output()); strings.Contains(said, "permission") || strings.Contains(said, "authorization") {
			t.Errorf("%s was refused something:\n%s", p.Name, p.Output())
		}
	}
}

// TestTheDoctorIsWellUnderThePermissions of each service, which needs no more to
// be looked at than to run, and says whose services a user may publish for.
// Case 11.6.
func TestTheDoctorIsWellUnderThePermissions(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	for _, user := range []string{"tickets", "orders"} {
		exits(t, 0, []string{"✓ broker         lets publish what the services of " + user + " do, and hear of confirmations"},
			"doctor", "--data-dir", t.TempDir(), "--nats-url", g.url(user), "--nats-cluster-id", clusterID, "--nats-client-id", user, "--jwt-key", jwtKey)
	}
	exits(t, 1, []string{"✗ broker", "this client may not publish to _STAN.pub." + clusterID + ".order:created", "this client may not publish to _STAN.pub." + clusterID + ".ticket:created"},
		"doctor", "--data-dir", t.TempDir(), "--nats-url", g.url("payments"), "--nats-cluster-id", clusterID, "--nats-client-id", "p", "--jwt-key", jwtKey)
	exits(t, 1, []string{"✗ broker", "Authorization Violation"},
		"doctor", "--data-dir", t.TempDir(), "--nats-url", "nats://tickets:another@"+g.addr, "--nats-cluster-id", clusterID, "--nats-client-id", "p", "--jwt-key", jwtKey)
}

// heard are the different messages that were heard on a subject.
type heard struct {
	mu       sync.Mutex
	messages map[string]bool
}

// hear listens as a user.
func (g guarded) hear(t *testing.T, user, subject string) *heard {
	t.Helper()
	h := &heard{messages: map[string]bool{}}
	_, err := g.connect(t, user).NatsConn().Subscribe(subject, func(m *nats.Msg) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.messages[string(m.Data)] = true
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// of counts the messages with a text in them.
func (h *heard) of(text string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.messages {
		if strings.Contains(m, text) {
			n++
		}
	}
	return n
}

// untilStatus waits until an order of bob's has a status.
func (s *system) untilStatus(t *testing.T, order, status string) {
	t.Helper()
	until(t, "order "+order+" is "+status, func() bool {
		return s.do(t, "bob@example.com", http.MethodGet, s.ordersURL+"/api/orders/"+order, nil, http.StatusOK).body["status"] == status
	})
}

// mayPublish says which subjects a user may publish.
var mayPublish = map[string][]event.Subject{
	"tickets":    event.TicketSubjects(),
	"orders":     event.OrderSubjects(),
	"expiration": {event.ExpirationComplete},
	"payments":   {event.PaymentCreated},
}

// Case 11.6: nobody publishes what is another's, with a client that keeps to
// the protocol.
func TestNobodyPublishesTheEventsOfAnother(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	if c, err := nats.Connect("nats://" + g.addr); err == nil {
		c.Close()
		t.Error("a client without a password is let in")
	}
	for user := range mayPublish {
		c := g.connect(t, user)
		for owner, subjects := range mayPublish {
			for _, subject := range subjects {
				if err := c.publish(t, subject, `{}`); (err == nil) != (owner == user) {
					t.Errorf("%s publishes %s: %v", user, subject, err)
				}
			}
		}
		foreign := "lockstep.hint.orders-service"
		if user == "orders" {
			foreign = "lockstep.hint.tickets-service"
		}
		for _, subject := range []string{foreign, "_STAN.pub.ticketing.anything", "_STAN.pub.other.order:created", "_STAN.raft.ticketing", "anything"} {
			if err := c.NatsConn().Publish(subject, nil); err != nil {
				t.Fatal(err)
			}
			if err := c.answer(t, nil); err == nil {
				t.Errorf("%s publishes on %s", user, subject)
			}
		}
		for _, subject := range []string{foreign, "_STAN.pub.ticketing.ticket:created", "_STAN.pub.>", "_STAN.>", ">"} {
			if _, err := c.NatsConn().SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			if err := c.answer(t, nil); err == nil {
				t.Errorf("%s listens to %s", user, subject)
			}
		}
	}
}

// TestWhatPermissionsCannotKeepOut is why docs/security.md says that permissions
// are no fence against somebody who has a service's password: the streaming
// server goes by what a message says, not by the subject that it came on. If
// this fails, the page promises too little. Case 11.6.
func TestWhatPermissionsCannotKeepOut(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	read := make(chan string, 1)
	victim := g.connect(t, "payments")
	if _, err := victim.Subscribe(string(event.TicketCreated), func(m *stan.Msg) { read <- string(m.Data) }); err != nil {
		t.Fatal(err) // any channel may be read
	}
	forger := g.connect(t, "orders")
	inboxes, err := forger.NatsConn().SubscribeSync("_INBOX.>")
	if err != nil {
		t.Fatal(err)
	}
	forger.ask(t, "_STAN.discover.", &pb.ConnectRequest{ClientID: "forged", HeartbeatInbox: nats.NewInbox(), ConnID: []byte("id"), Protocol: 1})
	forger.ask(t, "_STAN.pub.", &pb.PubMsg{ClientID: "forged", ConnID: []byte("id"), Guid: "g", Subject: string(event.TicketCreated), Data: []byte("forged")})
	select {
	case got := <-read:
		if got != "forged" {
			t.Errorf("read %q", got)
		}
	case <-time.After(time.Minute):
		t.Error("the streaming server does look at the subject")
	}
	until(t, "what others are sent is overheard", func() bool {
		m, err := inboxes.NextMsg(time.Second)
		return err == nil && strings.Contains(string(m.Data), "forged")
	})
	forger.ask(t, "_STAN.close.", &pb.CloseRequest{ClientID: victim.id})
	if err := victim.publish(t, event.PaymentCreated, `{}`); err == nil {
		t.Error("a client outlives the close of another user")
	}
}

// protocol is a message of the streaming server's protocol.
type protocol interface{ Marshal() ([]byte, error) }

// ask sends a request of the protocol as it is, on a subject of the client's own.
func (c client) ask(t *testing.T, prefix string, m protocol) {
	t.Helper()
	subject := prefix + clusterID
	if prefix == "_STAN.pub." {
		subject += "." + string(event.OrderCreated)
	}
	data, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.NatsConn().Request(subject, data, 30*time.Second); err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
}
