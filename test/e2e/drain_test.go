package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// TestARollingRestartRefusesNothing restarts one process after the other while
// requests come at a fixed rate through a balancer that sends to whoever says
// that it is ready, and learns of a change some time later. Behind
// LOCKSTEP_SOAK=1: all six processes twice, at 100 requests a second. Case
// 11.12.
func TestARollingRestartRefusesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, mongodb{mongotest.Shared(t)}, pods, "DRAIN_DELAY=3s")
	restarted, rate := []*process{f.canonical[0], f.copies[0]}, 50
	if soak() {
		all := slices.Concat(f.canonical, f.copies)
		restarted, rate = slices.Concat(all, all), 100
	}
	id := f.create(t, "ann@example.com").id()
	tickets, orders := balance(t, f.canonical, "TICKETS_ADDR"), balance(t, f.copies, "ORDERS_ADDR")
	sent := f.sendAtRate(t, rate,
		request{tickets, http.MethodPost, "/api/tickets", fixed(`{"title":"concert","price":20}`)},
		request{orders, http.MethodGet, "/api/orders", fixed("")},
		request{tickets, http.MethodGet, "/api/tickets/" + id, fixed("")},
		request{orders, http.MethodGet, "/api/orders", fixed("")},
	)
	for _, p := range restarted {
		p.stop(t)
		p.start(t)
		pause(t, 2*lookEvery) // the balancer has it back
	}
	t.Logf("%d requests during %d restarts: %s", sent.stop(), len(restarted), sent)
	if len(sent.wrong) > 0 {
		t.Errorf("%d requests were not served: %s", len(sent.wrong), sent.wrong[0].what)
	}
	for _, p := range slices.Concat(f.canonical, f.copies) {
		if strings.Contains(p.Output(), "requests cut off") {
			t.Errorf("%s cut off requests", p.Name)
		}
	}
}

// TestAStopIsAnnouncedFirst: from SIGTERM on the process says that it is not
// ready, and for the time of DRAIN_DELAY it serves whoever has not noticed.
// Case 11.12.
func TestAStopIsAnnouncedFirst(t *testing.T) {
	t.Parallel()
	const delay = 4 * time.Second
	p := alone(t, "tickets", sqlite{}, fmt.Sprint("DRAIN_DELAY=", delay))
	p.start(t)
	url := "http://" + p.setting("TICKETS_ADDR") + "/api/tickets"
	began := time.Now()
	p.Terminate(t)
	within(t, delay/2, "it says that it is not ready", func() bool {
		status, err := fetch(t.Context(), newConnections, http.MethodGet, p.Ready, "", "")
		return err == nil && status == http.StatusServiceUnavailable
	})
	served := 0
	for ; time.Since(began) < delay*9/10; served++ {
		if status, err := fetch(t.Context(), newConnections, http.MethodGet, url, "", ""); err != nil || status != http.StatusOK {
			t.Fatalf("request %d, %v after SIGTERM: %d, %v", served, time.Since(began), status, err)
		}
	}
	resp, err := keptConnections.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !resp.Close {
		t.Error("the connection is kept: the client will use it when it is closed")
	}
	p.Await(t)
	if took := time.Since(began); served == 0 || took < delay {
		t.Errorf("%d requests were served and it ended after %v, want it to serve for %v", served, took, delay)
	}
}

// TestContainersHaveADrainDelay, and time for it and for the stop. Kubernetes'
// manifests are looked at where they are built. Case 11.12.
func TestContainersHaveADrainDelay(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"Dockerfile":          "DRAIN_DELAY=5s",
		"deploy/compose.yaml": "stop_grace_period: 20s",
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s has no %q: %v", file, want, err)
		}
	}
}

// alone is one service without its broker and without the other service.
func alone(t *testing.T, service string, e engine, extra ...string) *process {
	t.Helper()
	a := spawn.Addresses(t, 3)
	shared := append([]string{"NATS_URL=" + a[2], "NATS_CLUSTER_ID=" + clusterID, "JWT_KEY=" + jwtKey, "LOG_FORMAT=json"}, extra...)
	return pod(service, 0, a[1], shared, e.env(t, service, t.TempDir()), strings.ToUpper(service)+"_ADDR="+a[0])
}

// lookEvery is how often the balancer looks who is ready.
const lookEvery = 250 * time.Millisecond

// balancer knows which processes of a service were ready a moment ago.
type balancer struct {
	members []*member
	next    atomic.Uint64
}

type member struct {
	url, readyz string
	ready       atomic.Bool
}

// balance watches the processes, whose addresses are in the variable, until the
// test ends.
func balance(t *testing.T, processes []*process, variable string) *balancer {
	t.Helper()
	b := &balancer{}
	for _, p := range processes {
		b.members = append(b.members, &member{url: "http://" + p.setting(variable), readyz: p.Ready})
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var watching sync.WaitGroup
	for _, m := range b.members {
		m.look(ctx)
		watching.Go(func() { m.watch(ctx) })
	}
	t.Cleanup(func() { cancel(); watching.Wait() })
	return b
}

func (m *member) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.look(ctx)
		}
	}
}

func (m *member) look(ctx context.Context) {
	status, err := fetch(ctx, newConnections, http.MethodGet, m.readyz, "", "")
	m.ready.Store(err == nil && status == http.StatusOK)
}

// pick returns the next process that is thought to be ready.
func (b *balancer) pick() (string, error) {
	for range b.members {
		m := b.members[b.next.Add(1)%uint64(len(b.members))]
		if m.ready.Load() {
			return m.url, nil
		}
	}
	return "", fmt.Errorf("none of %d processes is ready", len(b.members))
}

// Half of the requests come on connections that are kept, half on new ones.
var (
	newConnections  = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	keptConnections = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
)

// fetch sends one request and reads its whole answer.
func fetch(ctx context.Context, by *http.Client, method, url, cookie, body string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cookie", cookie)
	resp, err := by.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// request is what is sent again and again.
type request struct {
	to           *balancer
	method, path string
	body         func() string
}

func fixed(body string) func() string { return func() string { return body } }

// refusal is a request that was not served.
type refusal struct {
	status int // 0: there was no answer
	what   string
}

// load is requests at a fixed rate, whether those before were answered or not.
type load struct {
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	count int
	took  time.Duration // the longest
	wrong []refusal
}

// sendAtRate sends the requests in turns until the load is stopped.
func (s *system) sendAtRate(t *testing.T, perSecond int, requests ...request) *load {
	t.Helper()
	cookie := s.cookie(t, "ann@example.com")
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	l.running.Go(func() {
		began := time.Now()
		for i := 0; ; i++ {
			due := began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(due)):
			}
			by := []*http.Client{newConnections, keptConnections}[i/len(requests)%2]
			l.running.Go(func() { l.send(context.WithoutCancel(ctx), by, requests[i%len(requests)], cookie) })
		}
	})
	return l
}

func (l *load) send(ctx context.Context, by *http.Client, r request, cookie string) {
	began := time.Now()
	url, err := r.to.pick()
	status := http.StatusServiceUnavailable // of the balancer
	if err == nil {
		status, err = fetch(ctx, by, r.method, url+r.path, cookie, r.body())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	l.took = max(l.took, time.Since(began))
	if err != nil || status >= http.StatusBadRequest {
		l.wrong = append(l.wrong, refusal{status, fmt.Sprintf("%s %s%s: %d, %v", r.method, url, r.path, status, err)})
	}
}

// stop waits for all answers and returns how many requests were sent.
func (l *load) stop() int {
	l.cancel()
	l.running.Wait()
	return l.count
}

func (l *load) String() string {
	return fmt.Sprintf("%d not served, longest answer %v", len(l.wrong), l.took.Round(time.Millisecond))
}
