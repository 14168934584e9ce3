package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"

	"lockstep/test/spawn"
)

// fleet is a system with several processes of each service on one store. The
// addresses of the system lead to all of them in turns, as those of a
// Kubernetes Service do; its processes tickets and orders are the first ones.
type fleet struct {
	*system
	canonical, copies []*process // the processes of tickets and of orders
}

// newFleet starts a broker and n processes of each service on the engine.
func newFleet(t *testing.T, e engine, n int, extra ...string) *fleet {
	t.Helper()
	dir := t.TempDir()
	a := spawn.Addresses(t, 3+4*n)
	f := &fleet{system: &system{natsURL: "nats://" + a[0], cookies: map[string]string{}}}
	f.broker = &process{spawn.Service{
		Name: "broker", Args: []string{"broker"}, Ready: "http://" + a[2] + "/readyz",
		Env: []string{
			"NATS_LISTEN=" + a[0], "NATS_MONITOR=" + a[1], "NATS_CLUSTER_ID=" + clusterID,
			"DATA_DIR=" + filepath.Join(dir, "broker"), "METRICS_ADDR=" + a[2],
		},
	}}
	shared := append([]string{
		"NATS_URL=http://" + a[0], "NATS_CLUSTER_ID=" + clusterID, "JWT_KEY=" + jwtKey,
		"NATS_MONITOR_URL=http://" + a[1], "LOG_LEVEL=info", "LOG_FORMAT=json", "TICKET_DELETE=on",
	}, extra...)
	a = a[3:]
	tickets, ticketsOps, orders, ordersOps := a[:n], a[n:2*n], a[2*n:3*n], a[3*n:]
	f.ticketsURL, f.ticketsOps = front(t, tickets), front(t, ticketsOps)
	f.ordersURL, f.ordersOps = front(t, orders), front(t, ordersOps)
	ticketsStore, ordersStore := e.env(t, "tickets", dir), e.env(t, "orders", dir)
	for i := range n {
		f.canonical = append(f.canonical, pod("tickets", i, ticketsOps[i], shared, ticketsStore,
			"TICKETS_ADDR="+tickets[i], "CANONICAL_URL="+f.ordersOps))
		f.copies = append(f.copies, pod("orders", i, ordersOps[i], shared, ordersStore,
			"ORDERS_ADDR="+orders[i], "CANONICAL_URL="+f.ticketsOps))
	}
	f.tickets, f.orders = f.canonical[0], f.copies[0]
	for _, p := range f.processes() {
		p.start(t)
	}
	return f
}

// processes returns everything that runs, the broker first.
func (f *fleet) processes() []*process {
	return append(append([]*process{f.broker}, f.canonical...), f.copies...)
}

// pod is the i-th process of a service.
func pod(service string, i int, ops string, shared, store []string, own ...string) *process {
	p := &process{spawn.Service{Name: service, Args: []string{service}, Ready: "http://" + ops + "/readyz"}}
	if i > 0 {
		p.Name = fmt.Sprint(service, "-", i)
	}
	p.Env = append(p.Env, own...)
	p.Env = append(p.Env, "OPS_ADDR="+ops, fmt.Sprint("NATS_CLIENT_ID=", service, "-", i))
	p.Env = append(p.Env, store...)
	p.Env = append(p.Env, shared...)
	return p
}

// front returns an address behind which the processes at addrs answer in
// turns; one that does not answer is a 502.
func front(t *testing.T, addrs []string) string {
	t.Helper()
	if len(addrs) == 1 {
		return "http://" + addrs[0]
	}
	var next atomic.Uint64
	proxy := &httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0), // processes are killed on purpose
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: addrs[next.Add(1)%uint64(len(addrs))]})
		},
	}
	s := httptest.NewServer(http.Handler(proxy))
	t.Cleanup(s.Close)
	return s.URL
}
