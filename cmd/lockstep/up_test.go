package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/api"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

func TestMain(m *testing.M) {
	spawn.Overlap(6)
	os.Exit(mongotest.Run(m))
}

// running is an up in this process.
type running struct {
	*system
	t    *testing.T
	stop context.CancelFunc
	done chan error
	out  *buffer
}

// parse returns the flags of up as args set them, on free ports.
func parseUp(t *testing.T, args ...string) upCmd {
	t.Helper()
	var c cli
	var shown bool
	parser, err := newParser(&c, streams{out: io.Discard, err: io.Discard}, &shown, malformed{})
	if err != nil {
		t.Fatal(err)
	}
	free := []string{"up", "--tickets-addr=127.0.0.1:0", "--orders-addr=127.0.0.1:0", "--ops-addr=127.0.0.1:0", "--nats-listen=127.0.0.1:0", "--nats-monitor=127.0.0.1:0"}
	if _, err := parser.Parse(append(free, args...)); err != nil {
		t.Fatal(err)
	}
	return c.Up
}

// startUp runs up in dir and returns when it has greeted.
func startUp(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	s, err := newUp(t.Context(), parseUp(t, append(args, "--data-dir="+dir)...), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{system: s, t: t, stop: stop, done: make(chan error, 1), out: &buffer{}}
	greeted, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		r.done <- s.run(ctx, func() { s.greet(r.out); close(greeted) })
	}()
	t.Cleanup(func() { // its directory is removed after that
		stop()
		<-ended
	})
	select {
	case <-greeted:
	case err := <-r.done:
		t.Fatalf("up ended: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("up did not get ready")
	}
	return r
}

// end stops up as a signal would.
func (r *running) end() {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("stop: %v", err)
		}
	case <-time.After(stopWithin + time.Second):
		r.t.Fatal("up does not stop")
	}
}

type object map[string]any

func (o object) id() string { s, _ := o["id"].(string); return s }

// call sends a request as user and wants the status.
func (r *running) call(user, method, url, body string, status int) object {
	r.t.Helper()
	got, o := r.try(user, method, url, body)
	if got != status {
		r.t.Fatalf("%s %s = %d %v, want %d", method, url, got, o, status)
	}
	return o
}

func (r *running) try(user, method, url, body string) (int, object) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	cookie, err := r.sessions.Cookie(api.User{ID: userID(user), Email: user})
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Cookie", cookie)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var o object
	_ = json.Unmarshal(data, &o) // lists and empty bodies have no fields
	return resp.StatusCode, o
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// untilReplica waits until orders knows the version of the ticket.
func (r *running) untilReplica(id string, version float64) {
	r.t.Helper()
	until(r.t, fmt.Sprintf("version %v in the replica", version), func() bool {
		_, row := r.try("", http.MethodGet, urlOf(r.opsAt)+"/ops/replica/tickets/"+id, "")
		return row["version"] == version
	})
}

func TestTheWholeLoopInOneProcess(t *testing.T) {
	t.Parallel()
	walk(t)
}

func TestTheWholeLoopOnMongoDB(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	t.Cleanup(func() { // up makes one for each service
		for _, service := range []string{"-tickets", "-orders"} {
			if err := set.Client().Database(name + service).Drop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}
	})
	walk(t, "--mongo-uri="+set.URI(name))
}

// walk leads a ticket through both services and over a restart.
func walk(t *testing.T, args ...string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	r := startUp(t, dir, args...)
	tickets, orders := urlOf(r.ticketsAt)+"/api/tickets", urlOf(r.ordersAt)+"/api/orders"

	id := r.call("ann", http.MethodPost, tickets, `{"title":"concert","price":"20.50"}`, http.StatusCreated).id()
	r.untilReplica(id, 0)
	order := r.call("bob", http.MethodPost, orders, `{"ticketId":"`+id+`"}`, http.StatusCreated).id()
	r.untilReplica(id, 1)
	if held := r.call("", http.MethodGet, tickets+"/"+id, "", http.StatusOK)["orderId"]; held != order {
		t.Errorf("held by %v, want %s", held, order)
	}
	r.call("ann", http.MethodPut, tickets+"/"+id, `{"title":"new","price":30}`, http.StatusBadRequest)
	r.call("bob", http.MethodDelete, orders+"/"+order, "", http.StatusNoContent)
	r.untilReplica(id, 2)
	r.call("ann", http.MethodPut, tickets+"/"+id, `{"title":"new","price":30}`, http.StatusOK)
	r.untilReplica(id, 3)
	if state := r.call("", http.MethodGet, urlOf(r.opsAt)+"/ops/locks/"+order, "", http.StatusOK)["state"]; state != "released" {
		t.Errorf("lock is %v, want released", state)
	}
	key := r.flags.JWTKey
	r.end()

	again := startUp(t, dir, args...)
	if again.flags.JWTKey != key {
		t.Error("sessions did not survive the restart")
	}
	shown := again.call("", http.MethodGet, urlOf(again.ticketsAt)+"/api/tickets/"+id, "", http.StatusOK)
	if shown["version"] != 3.0 || shown["title"] != "new" {
		t.Errorf("after a restart: %v", shown)
	}
	again.call("ann", http.MethodPut, urlOf(again.ticketsAt)+"/api/tickets/"+id, `{"title":"newer","price":30}`, http.StatusOK)
	again.untilReplica(id, 4)
	again.end()
}

func TestASecondUpIsRefusedAndDisturbsNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := startUp(t, dir)
	for what, args := range map[string][]string{
		"another process works in": {"--data-dir=" + dir},
		"--tickets-addr":           {"--data-dir=" + t.TempDir(), "--tickets-addr=" + r.ticketsAt.Addr().String()},
		"--orders-addr":            {"--data-dir=" + t.TempDir(), "--orders-addr=" + r.ordersAt.Addr().String()},
		"--ops-addr":               {"--data-dir=" + t.TempDir(), "--ops-addr=" + r.opsAt.Addr().String()},
		"--nats-listen":            {"--data-dir=" + t.TempDir(), "--nats-listen=" + strings.TrimPrefix(r.broker.URL(), "nats://")},
		"--nats-monitor":           {"--data-dir=" + t.TempDir(), "--nats-monitor=" + strings.TrimPrefix(r.broker.MonitorURL(), "http://")},
	} {
		_, err := newUp(t.Context(), parseUp(t, args...), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: error = %v, want %q in it", args, err, what)
		}
	}
	id := r.call("ann", http.MethodPost, urlOf(r.ticketsAt)+"/api/tickets", `{"title":"t","price":1}`, http.StatusCreated).id()
	r.untilReplica(id, 0)
	r.end()
}

func TestWhatUpPrintsWorks(t *testing.T) {
	t.Parallel()
	r := startUp(t, t.TempDir())
	lines := 0
	for line := range strings.Lines(r.out.String()) {
		if strings.HasPrefix(line, "curl ") {
			lines++
		}
	}
	if lines != 3 {
		t.Errorf("%d curl lines, want 3:\n%s", lines, r.out)
	}
	_, cookie, ok := strings.Cut(r.out.String(), "Cookie: ")
	if !ok {
		t.Fatal("no cookie is printed")
	}
	cookie, _, _ = strings.Cut(cookie, "\n")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, urlOf(r.ticketsAt)+"/api/tickets", strings.NewReader(`{"title":"t","price":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cookie", cookie)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Errorf("with the printed cookie: %s", resp.Status)
	}
	r.operate(t)
	r.end()
}

// operate uses the operator's commands against a running system.
func (r *running) operate(t *testing.T) {
	t.Helper()
	ops := "--ops-url=" + urlOf(r.opsAt)
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"health", ops}, 0, "ok"},
		{[]string{"health", "--ready", ops}, 0, "ok"},
		{[]string{"outbox", "list", "--json", ops}, 0, "events"},
		{[]string{"refunds", ops}, 0, "no payment has to be given back"},
		{[]string{"refunds", "--all", "--json", ops}, 0, `"refunds": []`},
		{[]string{"refunds", "settle", "nope", ops}, 1, "No such payment has to be given back"},
		{[]string{"outbox", "show", "nothing", ops}, exitFailed, "No such event waits here"},
		{[]string{"outbox", "retry", "nothing", ops}, exitFailed, "No such event waits here"},
		{[]string{"replica", "held", ops}, 0, "nothing is held"},
		{[]string{"replica", "quarantine", "list", ops}, 0, "nothing was set aside"},
		{[]string{"replica", "quarantine", "discard", "x", ops}, exitFailed, "No such message is in quarantine here"},
		{[]string{"health", "--ops-url=http://127.0.0.1:1"}, exitFailed, "nobody answers at"},
	} {
		code, out, err := command(t, tt.args...)
		if code != tt.code || !strings.Contains(out+err, tt.says) {
			t.Errorf("%v: code %d, %q, %q; want %d and %q", tt.args, code, out, err, tt.code, tt.says)
		}
	}
}
