package broker_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/internal/broker"
	"lockstep/test/brokertest"
	"lockstep/test/spawn"
)

// gathered returns the values of a registry by series, as name/label/label.
func gathered(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			series := f.GetName()
			for _, l := range m.GetLabel() {
				series += "/" + l.GetValue()
			}
			all[series] = m.GetGauge().GetValue()
		}
	}
	return all
}

// Case 11.10: a broker shows its channels, where groups stand in them, its
// clients and its disk, from the start on, and no channel that a stranger made.
func TestABrokerShowsItsChannelsGroupsClientsAndDisk(t *testing.T) {
	t.Parallel()
	groups := []broker.Group{{Channel: "ticket:created", Name: "orders-service"}, {Channel: "order:created", Name: "tickets-service"}}
	for name, dir := range map[string]string{"in files": filepath.Join(t.TempDir(), "store"), "in memory": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := broker.Start(t.Context(), broker.Options{ClusterID: brokertest.ClusterID, Listen: spawn.Addresses(t, 1)[0], StoreDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Shutdown()
			reg := prometheus.NewRegistry()
			reg.MustRegister(b.Collector(groups))
			wants := func(want map[string]float64) {
				t.Helper()
				spawn.Until(t, "the metrics are as they should be", func() bool {
					got := gathered(t, reg)
					for series, value := range want {
						if have, ok := got[series]; !ok || have != value {
							t.Logf("%s is %v, %t, want %v", series, have, ok, value)
							return false
						}
					}
					return len(got) == 3*3+2*3+3
				})
			}
			wants(map[string]float64{
				"lockstep_broker_channel_messages/ticket:created": 0, "lockstep_broker_channel_last_sequence/order:created": 0,
				"lockstep_broker_channel_bytes/other": 0, "lockstep_broker_group_unsent_messages/ticket:created/orders-service": 0, "lockstep_broker_clients": 0,
			})
			sc, err := stan.Connect(brokertest.ClusterID, "client", stan.NatsURL(b.URL()))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sc.Close() }() // the broker may be gone
			for range 3 {
				for _, subject := range []string{"ticket:created", "stranger.one", "stranger.two"} {
					if err := sc.Publish(subject, []byte("ten bytes!")); err != nil {
						t.Fatal(err)
					}
				}
			}
			wants(map[string]float64{
				"lockstep_broker_channel_messages/ticket:created": 3, "lockstep_broker_channel_last_sequence/ticket:created": 3,
				"lockstep_broker_channel_messages/other": 6, "lockstep_broker_clients": 1,
				"lockstep_broker_group_unsent_messages/ticket:created/orders-service": 3, "lockstep_broker_group_members/ticket:created/orders-service": 0,
			})
			sub, err := sc.QueueSubscribe("ticket:created", "orders-service", func(*stan.Msg) {}, stan.DurableName("orders-service"),
				stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.MaxInflight(2), stan.AckWait(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			wants(map[string]float64{
				"lockstep_broker_group_unacknowledged_messages/ticket:created/orders-service": 2,
				"lockstep_broker_group_unsent_messages/ticket:created/orders-service":         1,
				"lockstep_broker_group_members/ticket:created/orders-service":                 1,
			})
			if err := sub.Close(); err != nil {
				t.Fatal(err)
			}
			wants(map[string]float64{
				"lockstep_broker_group_unsent_messages/ticket:created/orders-service": 1, "lockstep_broker_group_members/ticket:created/orders-service": 0,
			})
			got := gathered(t, reg)
			for _, series := range []string{"lockstep_broker_store_bytes", "lockstep_broker_disk_free_bytes"} {
				if value := got[series]; math.IsNaN(value) != (dir == "") || dir != "" && value < 1 {
					t.Errorf("%s is %v", series, value)
				}
			}
			if bytes := got["lockstep_broker_channel_bytes/ticket:created"]; bytes < 30 {
				t.Errorf("3 messages of ten bytes have %v", bytes)
			}
		})
	}
}

// TestABrokerWhoseStoreIsTakenAwaySaysSo: what it confirms afterwards is gone with
// the next start. Cases 10.10 and 11.10.
func TestABrokerWhoseStoreIsTakenAwaySaysSo(t *testing.T) {
	t.Parallel()
	for what, take := range map[string]func(dir string) error{
		"deleted": os.RemoveAll,
		"moved":   func(dir string) error { return os.Rename(dir, dir+".away") },
		"replaced": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".away"), os.CopyFS(dir, os.DirFS(dir+".away")))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			b, err := broker.Start(t.Context(), broker.Options{ClusterID: brokertest.ClusterID, Listen: spawn.Addresses(t, 1)[0], StoreDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Shutdown()
			reg := prometheus.NewRegistry()
			reg.MustRegister(b.Collector(nil))
			if err := b.Check(t.Context()); err != nil {
				t.Errorf("before: %v", err)
			}
			if err := take(dir); err != nil {
				t.Fatal(err)
			}
			if err := b.Check(t.Context()); err == nil || !strings.Contains(err.Error(), dir) {
				t.Errorf("the check says %v, want it to name the directory", err)
			}
			got := gathered(t, reg)
			for _, series := range []string{"lockstep_broker_store_bytes", "lockstep_broker_disk_free_bytes"} {
				if !math.IsNaN(got[series]) {
					t.Errorf("%s is %v, want NaN", series, got[series])
				}
			}
		})
	}
}
