package broker_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"lockstep/internal/broker"
	"lockstep/test/brokertest"
)

// Case 10.11: a kill or a power cut between the making of a file and its first
// write.
func TestABrokerStartsOverFilesThatWereNotBegun(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"server.dat", "clients.dat", "begun/msgs.1.dat", "begun/msgs.1.idx", "begun/subs.dat"} {
		for what, left := range map[string][]byte{
			"empty": {}, "one byte": {1}, "three bytes": {1, 0, 0}, "zeros": make([]byte, 9000), "its head alone": {1, 0, 0, 0},
		} {
			t.Run(fmt.Sprintf("%s, %s", name, what), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				b := brokertest.Start(t, brokertest.Stored(dir))
				publish(t, b, "other", "confirmed")
				publish(t, b, "begun", "lost with its file")
				b.Stop()
				if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), left, 0o600); err != nil {
					t.Fatal(err)
				}
				b.Restart()
				publish(t, b, "other", "next")
				if got := read(t, b, "other", 2); got != "1:confirmed 2:next" {
					t.Errorf("read %q, want what was confirmed and what came after", got)
				}
				publish(t, b, "begun", "new")
				b.Restart() // and a second time
				read(t, b, "begun", 1)
			})
		}
	}
}

// Case 10.11: an index holds nothing that the messages do not.
func TestABrokerStartsOverAnIndexThatIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.Stored(dir))
	publish(t, b, "first", "a")
	publish(t, b, "first", "b")
	durable(t, b, "first", 1)
	b.Stop()
	if err := os.WriteFile(filepath.Join(dir, "first", "msgs.1.idx"), []byte("garbage garbage garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Restart()
	if got := read(t, b, "first", 2); got != "1:a 2:b" {
		t.Errorf("read %q, want every message", got)
	}
}

// Case 10.11: what held messages is not thrown away; who starts it is told what to
// do.
func TestADamagedStoreIsSaidToBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.Stored(dir))
	publish(t, b, "first", "a")
	b.Stop()
	name := filepath.Join(dir, "first", "msgs.1.dat")
	if err := os.WriteFile(name, []byte("garbage garbage garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		other, err := broker.Start(t.Context(), broker.Options{ClusterID: brokertest.ClusterID, Listen: "127.0.0.1:0", StoreDir: dir})
		if err == nil {
			other.Shutdown()
			t.Fatal("it started")
		}
		if !strings.Contains(err.Error(), "the store "+dir+" is damaged: move it away") {
			t.Errorf("error: %v", err)
		}
	}
	if left, err := os.ReadFile(name); err != nil || string(left) != "garbage garbage garbage" {
		t.Errorf("the file is %q now, %v", left, err)
	}
}

// A durable's position in a channel whose messages are gone would swallow as
// many new ones.
func TestADurableGetsEveryMessageOfAChannelThatBeginsAnew(t *testing.T) {
	t.Parallel()
	for what, left := range map[string][]byte{"empty": {}, "three bytes": {1, 0, 0}, "zeros": make([]byte, 64)} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := brokertest.Start(t, brokertest.Stored(dir))
			for i := range 5 {
				publish(t, b, "first", fmt.Sprint(i))
			}
			durable(t, b, "first", 5)
			b.Stop()
			if err := os.WriteFile(filepath.Join(dir, "first", "msgs.1.dat"), left, 0o600); err != nil {
				t.Fatal(err)
			}
			b.Restart()
			publish(t, b, "first", "new")
			if got := durable(t, b, "first", 1); got != "1:new" {
				t.Errorf("the durable got %q, want the first message of the new channel", got)
			}
		})
	}
}

// A file that was begun after one with messages takes nothing with it.
func TestMessagesOfEarlierFilesAndTheirPositionsStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.Stored(dir))
	publish(t, b, "first", "a")
	publish(t, b, "first", "b")
	durable(t, b, "first", 2)
	b.Stop()
	if err := os.WriteFile(filepath.Join(dir, "first", "msgs.2.dat"), []byte{1}, 0o600); err != nil {
		t.Fatal(err)
	}
	b.Restart()
	publish(t, b, "first", "c")
	if got := durable(t, b, "first", 1); got != "3:c" {
		t.Errorf("the durable got %q, want what it had not seen", got)
	}
	if got := read(t, b, "first", 3); got != "1:a 2:b 3:c" {
		t.Errorf("read %q, want every message", got)
	}
}

// Only what holds nothing is removed.
func TestAWholeStoreIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.Stored(dir))
	publish(t, b, "first", "a")
	b.Stop()
	before := contents(t, dir)
	o := broker.Options{ClusterID: "another", Listen: "127.0.0.1:0", StoreDir: dir}
	if other, err := broker.Start(t.Context(), o); err == nil {
		other.Shutdown()
		t.Fatal("a store of another cluster was opened")
	}
	for name, data := range contents(t, dir) {
		if !bytes.Equal(before[name], data) && filepath.Base(name) != "broker.open" {
			t.Errorf("%s has changed", name)
		}
	}
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, pattern := range []string{"*.dat", "*/*.dat"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = data
		}
	}
	return all
}

// durable reads the next n messages of a durable queue group.
func durable(t *testing.T, b *brokertest.Broker, channel string, n int) string {
	t.Helper()
	return readWith(t, b, n, func(c stan.Conn, handle stan.MsgHandler) (stan.Subscription, error) {
		return c.QueueSubscribe(channel, "group", handle, stan.DurableName("group"), stan.DeliverAllAvailable())
	})
}
