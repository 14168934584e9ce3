package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// operating are the commands that talk to a running process.
func operating() [][]string {
	var all [][]string
	for line := range strings.Lines(`outbox list
		outbox show x
		outbox retry x
		outbox discard x
		outbox incidents
		outbox incidents close x
		replica status
		replica verify
		replica repair
		replica reset x
		replica show x
		replica held
		replica quarantine
		replica quarantine show x
		replica quarantine retry x
		replica quarantine retry --all
		replica quarantine discard x
		replica quarantine discard --all
		locks show x
		locks reset x
		locks reconcile
		refunds
		refunds settle x
		health
		health --ready`) {
		all = append(all, strings.Fields(line))
	}
	return all
}

// TestAnEmptyArgumentIsRefused, as a script's variable that was not set: no record
// has such an id, and no process such an address. Case 11.13.
func TestAnEmptyArgumentIsRefused(t *testing.T) {
	for _, args := range operating() {
		last := len(args) - 1
		if args[last] != "x" {
			continue
		}
		args[last] = ""
		if _, errs, code := output(t, args...); code != exitUsage || errs != "ID must not be empty\n" {
			t.Errorf("lockstep %q: exit %d: %q", args, code, errs)
		}
	}
	t.Setenv("OPS_URL", "")
	if _, errs, code := output(t, "replica", "status"); code != exitUsage || !strings.HasPrefix(errs, "OPS_URL must be http://host:port") {
		t.Errorf("no OPS_URL: exit %d: %s", code, errs)
	}
	t.Setenv("TICKETS_ADDR", "") // would be any port
	if _, errs, code := output(t, "config", "--check", "tickets"); code != exitUsage || !strings.Contains(errs, "TICKETS_ADDR must be host:port") {
		t.Errorf("no TICKETS_ADDR: exit %d: %s", code, errs)
	}
}

// answers serves one function at an address.
func answers(t *testing.T, serve http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	return s.URL
}

// greeting is a listener that speaks first, as the broker does.
func greeting(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "INFO "+strings.Repeat(`{"server_id":"N"}`, 100)+"\r\n")
		}
	}()
	return "http://" + l.Addr().String()
}

// Case 11.13: whatever answers, every command says in one sentence what is wrong
// and what to do.
func TestEveryCommandSaysWhoDoesNotAnswerAsAnOpsPort(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	asleep := make(chan struct{})
	defer close(asleep)
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for what, tc := range map[string]struct {
		at     string
		code   int
		health int // exit code of health
		says   string
	}{
		"nobody": {gone.URL, exitFailed, exitFailed, "nobody answers at " + gone.URL + ": connect: connection refused. Does the service run, and is that its OPS_ADDR (OPS_URL, --ops-url)?"},
		"an API": {answers(t, says(404, `{"errors":[{"message":"Not Found"}]}`)), exitUsage, exitUsage, "is not an ops port: OPS_URL (--ops-url) is where a service has its OPS_ADDR"},
		"a broker's pages": {answers(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" {
				says(200, `{"status":"ok"}`)(w, r)
				return
			}
			says(404, "404 page not found")(w, r)
		}), exitUsage, 0, "is not an ops port: OPS_URL (--ops-url) is where a service has its OPS_ADDR"},
		"a broker":          {greeting(t), exitFailed, exitFailed, "ended before it answered, or is no ops port (OPS_URL, --ops-url): "},
		"a gateway":         {answers(t, says(502, "<html>Bad Gateway</html>")), exitFailed, exitUsage, "answers 502 Bad Gateway, and not as an ops port does"},
		"one without token": {answers(t, says(401, `{"errors":[{"message":"Not authorized: OPS_TOKEN is missing or another one"}]}`)), exitFailed, exitUsage, "OPS_TOKEN is missing or another one"},
		"a broken one":      {answers(t, says(500, `{"errors":[{"message":"Something went wrong","id":"e-17"}]}`)), exitFailed, exitUsage, "Something went wrong: the service's log says why, by the id e-17"},
		"one that is asleep": {answers(t, func(http.ResponseWriter, *http.Request) { <-asleep }), exitFailed, exitFailed,
			"did not answer within 200ms: its /readyz says what is wrong, --timeout waits longer"},
	} {
		for _, args := range operating() {
			unbounded := args[len(args)-1] == "verify" || args[len(args)-1] == "repair" || args[len(args)-1] == "reconcile"
			if what == "one that is asleep" && unbounded {
				continue // a comparison takes as long as it takes
			}
			timeout := "1m"
			if what == "one that is asleep" {
				timeout = "200ms"
			}
			code, out, errs := command(t, append(args, "--ops-url="+tc.at, "--timeout="+timeout)...)
			want, wantSays := tc.code, tc.says
			if args[0] == "health" {
				if want = tc.health; want == exitUsage {
					wantSays = "is not an ops port"
				}
			}
			if want == 0 || args[0] == "health" && len(args) > 1 && what == "a broker's pages" {
				continue // it is well, whoever it is
			}
			if code != want || !strings.Contains(errs, wantSays) {
				t.Errorf("%s: %v: code %d, %s%s\nwant %d, %s", what, args, code, out, errs, want, wantSays)
			}
			if strings.Count(errs, "\n") > 1 || len(errs) > 400 {
				t.Errorf("%s: %v says more than a sentence: %s", what, args, errs)
			}
		}
	}
}

// Case 11.13: a service says what it does not have, and who has it.
func TestACommandToTheOtherServiceIsToldSo(t *testing.T) {
	t.Parallel()
	r := startUp(t, t.TempDir())
	for command1, want := range map[string]string{
		"outbox show x":                "No such event waits here",
		"outbox retry x":               "No such event waits here",
		"outbox incidents close x":     "No such incident is recorded here",
		"replica show x":               "The replica has no such ticket",
		"replica reset x":              "Neither the replica nor its owner has such a ticket",
		"replica quarantine show x":    "No such message is in quarantine here",
		"replica quarantine retry x":   "No such message is in quarantine here",
		"replica quarantine discard x": "No such message is in quarantine here",
		"locks show x":                 "Nothing is known of such an order here",
		"locks reset x":                "Neither this process nor the orders service knows such an order",
		"refunds settle x":             "No such payment has to be given back",
	} {
		code, _, errs := command(t, append(strings.Fields(command1), "--ops-url="+urlOf(r.opsAt))...)
		if code != exitFailed || !strings.Contains(errs, want) {
			t.Errorf("%s: code %d, %s, want %q", command1, code, errs, want)
		}
	}
	r.end()
}
