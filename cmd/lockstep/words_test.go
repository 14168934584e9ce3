package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockstep/replica"
	"lockstep/test/brokertest"
)

// Case 11.13: every sentence of the entry.

func TestDurationsInALogCanBeRead(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		var said buffer
		logFlags{LogFormat: format, LogLevel: "info"}.logger(&said).Warn("tried again", "in", 1500*time.Millisecond, slog.Group("g", "took", time.Minute))
		for _, want := range []string{"1.5s", "1m0s"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%s: %s, want %s in it", format, said.String(), want)
			}
		}
	}
}

// TestALogIsJSONFromItsFirstToItsLastLine, also if the service cannot begin.
func TestALogIsJSONFromItsFirstToItsLastLine(t *testing.T) {
	for _, name := range cleared {
		t.Setenv(name, "")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for what, args := range map[string][]string{
		"a setting is missing": {"tickets", "--log-format=json"},
		"an address is taken": {"tickets", "--log-format=json", "--data-dir=" + t.TempDir(), "--nats-url=nats://127.0.0.1:1", "--nats-cluster-id=c",
			"--nats-client-id=i", "--jwt-key=k", "--ops-addr=" + taken.Addr().String()},
	} {
		code, _, errs := command(t, args...)
		if code == 0 || errs == "" {
			t.Errorf("%s: code %d, %q", what, code, errs)
		}
		for line := range strings.Lines(errs) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: a line is no JSON: %s", what, line)
			}
		}
	}
}

// answering is an ops port that answers every page with one body.
func answering(t *testing.T, status int, body string) (flag string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return "--ops-url=" + s.URL
}

func TestAnAPIIsNotTakenForAnOpsPort(t *testing.T) {
	t.Parallel()
	api := answering(t, http.StatusNotFound, `{"errors":[{"message":"Not Found"}]}`)
	for _, args := range [][]string{{"outbox", "list"}, {"replica", "status"}, {"replica", "verify"}, {"outbox", "show", "x"}} {
		code, _, errs := command(t, append(args, api)...)
		if code != exitUsage || !strings.Contains(errs, "is not an ops port: OPS_URL") {
			t.Errorf("%v: code %d, %q, want to be told which address it is", args, code, errs)
		}
	}
}

func TestALagThatIsNotKnownIsNotZero(t *testing.T) {
	t.Parallel()
	ops := answering(t, http.StatusOK, `{"services":{"orders":{"positions":[
		{"channel":"ticket:created","mark":7,"first":0,"last":0,"lag":null},{"channel":"ticket:updated","mark":7,"first":1,"last":9,"lag":0}]}}}`)
	code, out, errs := command(t, "replica", "status", ops)
	if code != 0 {
		t.Fatalf("code %d, %s", code, errs)
	}
	for _, want := range []string{"ticket:created 7 unknown unknown unknown 0", "ticket:updated 7 1 9 0 0"} {
		if !strings.Contains(unwrapped(out), want) {
			t.Errorf("%s\nwant %s", out, want)
		}
	}
}

func TestWhatAHeldMessageWaitsForIsSaidInWords(t *testing.T) {
	t.Parallel()
	ops := answering(t, http.StatusOK, `{"messages":[
		{"service":"orders","subject":"ticket:updated","key":"a","version":4,"waitsFor":3,"since":"S"},
		{"service":"orders","subject":"payment:created","key":"b","version":0,"waitsFor":-1,"since":"S","error":"the disk is full"}]}`)
	code, out, errs := command(t, "replica", "held", ops)
	if code != 0 || strings.Contains(out, "-1") || !strings.Contains(out, "version 3") || !strings.Contains(out, "the disk is full") {
		t.Errorf("code %d, %s\n%s", code, errs, out)
	}
}

func TestATokenThatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	r := startUp(t, t.TempDir(), "--ops-token="+strings.Repeat("t", 32))
	code, _, errs := command(t, "outbox", "retry", "x", "--ops-url="+urlOf(r.opsAt), "--ops-token=")
	if code == 0 || !strings.Contains(errs, "OPS_TOKEN") {
		t.Errorf("code %d, %q, want OPS_TOKEN named", code, errs)
	}
	code, _, errs = command(t, "outbox", "retry", "x", "--ops-url="+urlOf(r.opsAt), "--ops-token=another")
	if code == 0 || !strings.Contains(errs, "OPS_TOKEN") {
		t.Errorf("code %d, %q, want OPS_TOKEN named", code, errs)
	}
	r.end()
}

func TestDoctorSeesWhatIsTaken(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s := b.Dial(t, "pod-1")
	if _, err := s.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	out, errs, code := output(t, "doctor", "--data-dir", t.TempDir(), "--nats-url", b.URL(), "--nats-cluster-id", brokertest.ClusterID,
		"--nats-client-id", "pod-1", "--nats-monitor-url", b.MonitorURL(), "--jwt-key", strings.Repeat("k", 32),
		"--ops-addr", taken.Addr().String(), "--tickets-addr", taken.Addr().String())
	in := taken.Addr().String() + " is in use by another program: stop it, or choose another address with "
	for _, want := range []string{"NATS_CLIENT_ID pod-1 is taken", in + "OPS_ADDR", in + "TICKETS_ADDR"} {
		if !strings.Contains(out, want) {
			t.Errorf("code %d, want %q in it\n%s%s", code, want, out, errs)
		}
	}
}

// TestVerifySaysWhatMends: a repair moves nothing back. Case 11.13.
func TestVerifySaysWhatMends(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		drifted map[replica.Kind]int
		want    []string
		not     string
	}{
		"behind": {map[replica.Kind]int{replica.Behind: 2}, []string{"lockstep replica repair mends it"}, "--trust-owner"},
		"ahead":  {map[replica.Kind]int{replica.Ahead: 1, replica.Extra: 1}, []string{"reset ID", "--trust-owner"}, "mends it"},
		"both":   {map[replica.Kind]int{replica.Ahead: 1, replica.Missing: 1}, []string{"mends it, but for 1 rows", "--trust-owner"}, "has what its owner does not"},
	} {
		err := differs(replica.Verified{Drifted: tt.drifted})
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), tt.not) {
				t.Errorf("%s: %q, want %q and not %q", name, err, part, tt.not)
			}
		}
		if exitCode(err) != exitDrift {
			t.Errorf("%s: exit %d, want %d", name, exitCode(err), exitDrift)
		}
	}
}
