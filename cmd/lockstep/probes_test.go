package main

import (
	"net/http"
	"strings"
	"testing"

	"lockstep/test/spawn"
)

// TestProbesHaveAnAddressOfTheirOwn, which serves nothing else and is given back.
// Case 11.9.
func TestProbesHaveAnAddressOfTheirOwn(t *testing.T) {
	t.Parallel()
	r := startUp(t, t.TempDir(), "--metrics-addr=127.0.0.1:0")
	at := urlOf(r.metricsAt)
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/ops/outbox": 404, "/ops/tickets": 404} {
		for address, wanted := range map[string]int{at: status, urlOf(r.opsAt): 200} {
			if got, body := r.try("", http.MethodGet, address+path, ""); got != wanted {
				t.Errorf("GET %s%s: %d %v, want %d", address, path, got, body, wanted)
			}
		}
	}
	if code, _, err := command(t, "up", "--data-dir="+t.TempDir(), "--ops-addr=127.0.0.1:0", "--metrics-addr="+r.metricsAt.Addr().String()); code != exitFailed || !strings.Contains(err, "METRICS_ADDR") {
		t.Errorf("an address that is taken: code %d, %s", code, err)
	}
	r.end()
}

// TestTwoSettingsOfOneAddressAreNamed: no program but this one has it. Case 11.9.
func TestTwoSettingsOfOneAddressAreNamed(t *testing.T) {
	t.Parallel()
	at := spawn.Addresses(t, 2)
	shared := []string{"--data-dir=" + t.TempDir(), "--ops-addr=" + at[0], "--metrics-addr=" + at[0]}
	code, _, errs := command(t, append([]string{"up"}, shared...)...)
	if want := at[0] + " is that of --ops-addr (OPS_ADDR) and of --metrics-addr (METRICS_ADDR)"; code != exitUsage || !strings.Contains(errs, want) {
		t.Errorf("up: code %d, want %q\n%s", code, want, errs)
	}
	_, out, _ := command(t, append([]string{"doctor", "--tickets-addr=" + at[1], "--orders-addr=" + at[1]}, shared...)...)
	for _, want := range []string{at[0] + " is that of OPS_ADDR and of METRICS_ADDR", at[1] + " is that of TICKETS_ADDR and of ORDERS_ADDR"} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor does not say %q:\n%s", want, out)
		}
	}
}

// TestMetricsAloneNeedNoToken: the operator's routes stay on loopback. Case 11.9.
func TestMetricsAloneNeedNoToken(t *testing.T) {
	for _, name := range cleared {
		t.Setenv(name, "")
	}
	code, out, err := command(t, "config", "--check", "tickets", "--metrics-addr=:9465", "--nats-url=nats://x:1", "--nats-cluster-id=c", "--nats-client-id=i", "--jwt-key=k", "--data-dir="+t.TempDir())
	if code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), "OPS_ADDR 127.0.0.1:9464 ") {
		t.Errorf("code %d, %s\n%s", code, err, out)
	}
}
