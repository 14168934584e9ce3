package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"go.uber.org/goleak"

	"lockstep/internal/broker"
	"lockstep/test/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const wait = 10 * time.Second

func TestStoredMessagesSurviveARestartOnTheSameAddressAndDirectory(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.Stored(t.TempDir()))
	url := b.URL()
	publish(t, b, "first", "a")
	publish(t, b, "first", "b")
	b.Restart()
	if b.URL() != url {
		t.Fatalf("restarted on %s, want %s again", b.URL(), url)
	}
	got := read(t, b, "first", 2)
	if got != "1:a 2:b" {
		t.Errorf("read %q after the restart, want both messages with their sequences", got)
	}
}

func TestABrokerInMemoryComesBackEmpty(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	publish(t, b, "first", "a")
	publish(t, b, "first", "b")
	b.Restart()
	publish(t, b, "first", "c")
	if got := read(t, b, "first", 1); got != "1:c" {
		t.Errorf("read %q, want the sequence to begin anew", got)
	}
}

func TestAStoreWithHalfARecordAtItsEndStartsAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.Stored(dir))
	publish(t, b, "first", "whole")
	b.Stop()
	for _, name := range []string{"clients.dat", "first/msgs.1.dat", "first/msgs.1.idx", "first/subs.dat"} {
		f, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte{40, 0, 0, 0, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the server cuts off only once in a row
		b.Restart()
		if got := read(t, b, "first", 1); got != "1:whole" {
			t.Errorf("read %q, want the record that was confirmed", got)
		}
	}
}

// The messages reach the disk before their index does.
func TestMessagesAKilledBrokerHadNotIndexedKeepTheirSequences(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.Stored(dir))
	for _, data := range []string{"a", "b", "c"} {
		publish(t, b, "first", data)
	}
	b.Stop()
	const file, entry = 4, 32 // bytes of a file's head and of an index entry
	if err := os.Truncate(filepath.Join(dir, "first", "msgs.1.idx"), file+2*entry); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broker.open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.Restart()
	publish(t, b, "first", "d")
	publish(t, b, "first", "e")
	if got := read(t, b, "first", 5); got != "1:a 2:b 3:c 4:d 5:e" {
		t.Errorf("read %q, want every message under its own sequence", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "broker.open")); err != nil {
		t.Errorf("a running broker leaves no trace for the next one: %v", err)
	}
	b.Stop()
	if _, err := os.Stat(filepath.Join(dir, "broker.open")); !os.IsNotExist(err) {
		t.Errorf("a broker that was stopped looks killed: %v", err)
	}
}

func TestNoChannelLimitByDefault(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	body := get(t, b.MonitorURL()+"/streaming/storez")
	for _, want := range []string{`"max_channels": 0`, `"max_msgs": 0`, `"max_bytes": 0`, `"max_age": 0`, `"max_subscriptions": 0`} {
		if !strings.Contains(body, want) {
			t.Errorf("limits %s\nlack %s", body, want)
		}
	}
}

func TestWhatKeepsABrokerFromStartingIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := broker.Start(t.Context(), broker.Options{ClusterID: "c", Listen: "127.0.0.1:0", Monitor: "127.0.0.1:0", StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Shutdown)
	taken := strings.TrimPrefix(first.URL(), "nats://")
	pages := strings.TrimPrefix(first.MonitorURL(), "http://")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for name, tt := range map[string]struct {
		opts broker.Options
		is   error
		says string
	}{
		"client port taken":  {broker.Options{ClusterID: "c", Listen: taken}, broker.ErrAddressTaken, taken},
		"monitor port taken": {broker.Options{ClusterID: "c", Listen: "127.0.0.1:0", Monitor: pages}, broker.ErrAddressTaken, pages},
		"store taken":        {broker.Options{ClusterID: "c", Listen: "127.0.0.1:0", StoreDir: dir}, broker.ErrStoreTaken, dir},
		"store is a file":    {broker.Options{ClusterID: "c", Listen: "127.0.0.1:0", StoreDir: file}, nil, file},
		"no such interface":  {broker.Options{ClusterID: "c", Listen: "203.0.113.1:0"}, nil, "203.0.113.1:0"},
		"no cluster id":      {broker.Options{Listen: "127.0.0.1:0"}, nil, "cluster id"},
		"bad cluster id":     {broker.Options{ClusterID: "a b", Listen: "127.0.0.1:0"}, nil, "a b"},
		"no port":            {broker.Options{ClusterID: "c", Listen: "127.0.0.1"}, nil, `"127.0.0.1"`},
		"port out of range":  {broker.Options{ClusterID: "c", Listen: "127.0.0.1:0", Monitor: ":70000"}, nil, `":70000"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			b, err := broker.Start(t.Context(), tt.opts)
			if err == nil {
				b.Shutdown()
				t.Fatal("started, want an error")
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %v", err, tt.is)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %q, want it to name %s", err, tt.says)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("said so after %s, want at once", took)
			}
		})
	}
}

func TestABrokerOnEveryInterfaceNamesAnAddressThatCanBeReached(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(t.Context(), broker.Options{ClusterID: brokertest.ClusterID, Listen: ":0", Monitor: ":0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	c, err := stan.Connect(brokertest.ClusterID, "client", stan.NatsURL(b.URL()))
	if err != nil {
		t.Fatalf("connect to %s: %v", b.URL(), err)
	}
	closeConn(t, c)
	if body := get(t, b.MonitorURL()+"/streaming/serverz"); !strings.Contains(body, brokertest.ClusterID) {
		t.Errorf("got %s, want the server's page", body)
	}
}

func TestRefusedPublishesAreLoggedWithoutTheirPayload(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	b, err := broker.Start(t.Context(), broker.Options{
		ClusterID: brokertest.ClusterID, Listen: "127.0.0.1:0", Log: slog.New(slog.NewTextHandler(&lines, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := stan.Connect(brokertest.ClusterID, "client", stan.NatsURL(b.URL()))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish("a/b", []byte("secret")); err == nil {
		t.Error("a channel with a slash: no error")
	}
	closeConn(t, c)
	b.Shutdown()
	if got := lines.String(); !strings.Contains(got, "Received invalid client publish message") || strings.Contains(got, "secret") {
		t.Errorf("log\n%s\nwant the refusal, without the payload", got)
	}
}

func TestAFailedStartLeavesNothingTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := broker.Options{ClusterID: "c", Listen: "127.0.0.1:0", Monitor: l.Addr().String(), StoreDir: t.TempDir()}
	if b, err := broker.Start(t.Context(), o); err == nil {
		b.Shutdown()
		t.Fatal("started on a taken port")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("got %v once the port is free, want a running broker", err)
	}
	b.Shutdown()
}

func publish(t *testing.T, b *brokertest.Broker, channel, data string) {
	t.Helper()
	c := connect(t, b)
	defer closeConn(t, c)
	if err := c.Publish(channel, []byte(data)); err != nil {
		t.Fatalf("publish to %s: %v", channel, err)
	}
}

// read returns the first n messages of a channel as "sequence:data".
func read(t *testing.T, b *brokertest.Broker, channel string, n int) string {
	t.Helper()
	return readWith(t, b, n, func(c stan.Conn, handle stan.MsgHandler) (stan.Subscription, error) {
		return c.Subscribe(channel, handle, stan.DeliverAllAvailable())
	})
}

func readWith(t *testing.T, b *brokertest.Broker, n int, subscribe func(stan.Conn, stan.MsgHandler) (stan.Subscription, error)) string {
	t.Helper()
	c := connect(t, b)
	defer closeConn(t, c)
	msgs := make(chan *stan.Msg, n)
	sub, err := subscribe(c, func(m *stan.Msg) { msgs <- m })
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	var all []string
	for range n {
		select {
		case m := <-msgs:
			all = append(all, fmt.Sprintf("%d:%s", m.Sequence, m.Data))
		case <-time.After(wait):
			t.Fatalf("read %v, want %d messages", all, n)
		}
	}
	if err := sub.Close(); err != nil {
		t.Fatalf("close the subscription: %v", err)
	}
	return strings.Join(all, " ")
}

func connect(t *testing.T, b *brokertest.Broker) stan.Conn {
	t.Helper()
	c, err := stan.Connect(brokertest.ClusterID, "client", stan.NatsURL(b.URL()))
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	return c
}

func closeConn(t *testing.T, c stan.Conn) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
