package interop

import (
	"slices"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// TestASecondDeliveryKillsANodeServiceThatDoesNotOnlyWarn shows what Node 15
// and newer need: their listeners throw on what they have applied before. Case
// 9.3.
func TestASecondDeliveryKillsANodeServiceThatDoesNotOnlyWarn(t *testing.T) {
	t.Parallel()
	for name, warns := range map[string]bool{"as Node does by itself": false, "--unhandled-rejections=warn": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, b := mongotest.Shared(t), brokertest.Start(t)
			orders := newService(t, false, "orders", set.URI(set.Database(t)), b)
			if !warns {
				orders.Args = slices.DeleteFunc(orders.Args, func(a string) bool { return a == "--unhandled-rejections=warn" })
			}
			orders.start(t, "EXPIRATION_WINDOW_SECONDS=60")
			node := startPeer(t, set.URI(set.Database(t)))
			node.do("connect", args{"url": b.URL(), "cluster": brokertest.ClusterID, "client": "node-tickets"}, nil)
			again := args{"id": "6b0300000000000000000001", "title": "concert", "price": 20.5, "userId": "ann", "version": 0}
			node.do("publish", args{"subject": event.TicketCreated, "data": again}, nil)
			node.do("publish", args{"subject": event.TicketCreated, "data": again}, nil)
			if warns {
				spawn.Until(t, "it warns", func() bool { return said(orders, "duplicate key") })
				return
			}
			select {
			case <-orders.Ended():
			case <-time.After(30 * time.Second):
				t.Error("it still runs")
			}
			if !said(orders, "duplicate key") {
				t.Errorf("it ended and said %s", orders.Output())
			}
		})
	}
}
