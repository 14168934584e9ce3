package listeners_test

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/test/brokertest"
	"lockstep/test/spawn"
)

const lagWait = 20 * time.Second

func TestLagCountsWhatAGroupHasNotAcknowledged(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	m := monitorOf(t, b)
	if info := channelInfo(t, m, event.TicketUpdated); info.LastSeq != 0 || info.Lag("g") != 0 {
		t.Errorf("a channel that is not there: %+v, lag %d; want nothing", info, info.Lag("g"))
	}
	c := lagClient(t, b)
	send(t, c, event.TicketUpdated, 50)
	if got := channelInfo(t, m, event.TicketUpdated).Lag("g"); got != 50 {
		t.Errorf("lag %d before the group joins, want all 50", got)
	}
	// A window of 20 and five acks leave 20 sent and unanswered, 25 unsent.
	full := make(chan struct{})
	n := 0
	sub, err := c.QueueSubscribe(string(event.TicketUpdated), "g", func(m *stan.Msg) {
		if n++; n <= 5 {
			if err := m.Ack(); err != nil {
				t.Errorf("ack: %v", err)
			}
		}
		if n == 25 {
			close(full)
		}
	}, stan.DurableName("g"), stan.SetManualAckMode(), stan.DeliverAllAvailable(), stan.MaxInflight(20), stan.AckWait(time.Minute))
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	select {
	case <-full:
	case <-time.After(lagWait):
		t.Fatal("the window does not fill")
	}
	lagBecomes(t, m, event.TicketUpdated, "g", 45)
	if err := sub.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	lagBecomes(t, m, event.TicketUpdated, "g", 45) // with no member left
}

func TestMessagesTheBrokerDroppedShowInTheFirstSequenceAndNotAsLag(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.MaxMessages(10))
	m := monitorOf(t, b)
	c := lagClient(t, b)
	send(t, c, event.OrderCreated, 1)
	got := make(chan struct{}, 1)
	sub, err := c.QueueSubscribe(string(event.OrderCreated), "g", func(*stan.Msg) { got <- struct{}{} },
		stan.DurableName("g"), stan.DeliverAllAvailable())
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	select {
	case <-got:
	case <-time.After(lagWait):
		t.Fatal("the first message does not come")
	}
	lagBecomes(t, m, event.OrderCreated, "g", 0)
	if err := sub.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	send(t, c, event.OrderCreated, 24)
	info := channelInfo(t, m, event.OrderCreated)
	if info.FirstSeq != 16 || info.LastSeq != 25 || info.Messages != 10 {
		t.Errorf("first %d, last %d, %d messages; want 16, 25 and 10", info.FirstSeq, info.LastSeq, info.Messages)
	}
	if lag := info.Lag("g"); lag != 10 {
		t.Errorf("lag %d, want the 10 that can still be read", lag)
	}
}

// Case 11.10: a lag that nobody knows is not 0.
func TestLagIsMeasuredForEveryWatchedGroupFromTheStart(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	reg := prometheus.NewRegistry()
	l, err := listeners.NewLag(monitorOf(t, b), listeners.LagOptions{
		Watched: []listeners.Watched{
			{Channel: event.OrderCreated, Group: "tickets-service"},
			{Channel: event.TicketUpdated, Group: "orders-service"},
		},
		Every:      time.Millisecond,
		Registerer: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	becomes := func(orders, tickets float64) bool {
		want := `
			# HELP lockstep_broker_lag_messages Messages of a channel that a queue group has not acknowledged yet, as the broker counts them; NaN while it cannot be asked.
			# TYPE lockstep_broker_lag_messages gauge
			lockstep_broker_lag_messages{channel="order:created",group="tickets-service"} ` + strconv.FormatFloat(orders, 'g', -1, 64) + `
			lockstep_broker_lag_messages{channel="ticket:updated",group="orders-service"} ` + strconv.FormatFloat(tickets, 'g', -1, 64) + "\n"
		return testutil.GatherAndCompare(reg, strings.NewReader(want), "lockstep_broker_lag_messages") == nil
	}
	unknown := math.NaN()
	if !becomes(unknown, unknown) {
		t.Error("the lag is said to be known before anybody has looked")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	send(t, lagClient(t, b), event.TicketUpdated, 3)
	lagUntil(t, "the lag is 3", func() bool { return becomes(0, 3) })
	b.Stop()
	lagUntil(t, "nobody knows without a broker", func() bool { return becomes(unknown, unknown) })
	b.Restart()
	lagUntil(t, "the broker that came back empty is read", func() bool { return becomes(0, 0) })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// Case 11.10: a page that is not the broker's says nothing of the lag.
func TestTheLagBehindAStrangersPageIsUnknown(t *testing.T) {
	t.Parallel()
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	m, err := listeners.NewMonitor(stranger.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.ChannelInfo(t.Context(), event.OrderCreated); err == nil || !strings.Contains(err.Error(), "NATS_MONITOR_URL") {
		t.Errorf("a channel of a stranger's: %v, want to be told where the pages are", err)
	}
	if _, err := m.Connected(t.Context(), "pod"); err == nil {
		t.Error("a stranger knows that a client is not connected")
	}
	reg := prometheus.NewRegistry()
	var log lines
	l, err := listeners.NewLag(m, listeners.LagOptions{
		Watched: []listeners.Watched{{Channel: event.OrderCreated, Group: "g"}}, Every: time.Millisecond, Registerer: reg,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	spawn.Background(t, l.Run)
	lagUntil(t, "it says that it cannot look", func() bool { return log.n.Load() > 0 })
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if got := f.GetMetric()[0].GetGauge().GetValue(); f.GetName() == "lockstep_broker_lag_messages" && !math.IsNaN(got) {
			t.Errorf("lag %v, want NaN", got)
		}
	}
}

func TestAMonitorThatAnswersNonsenseIsAnError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code int
		body string
	}{{500, "{}"}, {200, "<html>"}, {200, ""}} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.code)
			if _, err := io.WriteString(w, tt.body); err != nil {
				t.Error(err)
			}
		}))
		t.Cleanup(srv.Close)
		m, err := listeners.NewMonitor(srv.URL, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.ChannelInfo(t.Context(), event.OrderCreated); err == nil {
			t.Errorf("%d with %q: no error", tt.code, tt.body)
		}
	}
	for _, base := range []string{"", "nats-srv:8222", "nats://nats-srv:8222", "http://"} {
		if _, err := listeners.NewMonitor(base, ""); err == nil {
			t.Errorf("url %q: no error", base)
		}
	}
}

func monitorOf(t *testing.T, b *brokertest.Broker) *listeners.Monitor {
	t.Helper()
	m, err := listeners.NewMonitor(b.MonitorURL(), "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func channelInfo(t *testing.T, m *listeners.Monitor, channel event.Subject) listeners.ChannelInfo {
	t.Helper()
	info, err := m.ChannelInfo(t.Context(), channel)
	if err != nil {
		t.Fatalf("channel info: %v", err)
	}
	return info
}

func lagBecomes(t *testing.T, m *listeners.Monitor, channel event.Subject, group string, want uint64) {
	t.Helper()
	lagUntil(t, "the lag is "+strconv.FormatUint(want, 10), func() bool {
		return channelInfo(t, m, channel).Lag(group) == want
	})
}

// lagUntil polls for what nobody signals.
func lagUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(lagWait)
	for !ok() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			t.Fatalf("waited %s until %s", lagWait, what)
		}
	}
}

func lagClient(t *testing.T, b *brokertest.Broker) stan.Conn {
	t.Helper()
	c, err := stan.Connect(brokertest.ClusterID, "lag", stan.NatsURL(b.URL()))
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c stan.Conn, channel event.Subject, n int) {
	t.Helper()
	for range n {
		if err := c.Publish(string(channel), []byte("{}")); err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
}

// TestPagesBehindTheBrokersOwnCertificate. Case 11.9.
func TestPagesBehindTheBrokersOwnCertificate(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"type":"FILE"}`) // a test sees what is missing
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(ca, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for _, content := range []string{"", "no certificate"} {
		write([]byte(content))
		if _, err := listeners.NewMonitor(srv.URL, ca); err == nil || !strings.Contains(err.Error(), ca) {
			t.Errorf("with %q: %v, want the file named", content, err)
		}
	}
	write(own)
	m, err := listeners.NewMonitor(srv.URL, ca)
	if err != nil {
		t.Fatal(err)
	}
	if store, err := m.Store(t.Context()); err != nil || store.Type != "FILE" {
		t.Errorf("%+v, %v", store, err)
	}
	stranger, err := listeners.NewMonitor(srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Store(t.Context()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without the file: %v", err)
	}
}
