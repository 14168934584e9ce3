package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/listeners"
)

// TestPayloadsAreShownOnRequest, and the log says which, and to whom. Case 11.9.
func TestPayloadsAreShownOnRequest(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f, h := newOps(t, func(o *OpsOptions) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	id := f.create(t, "u1") + ":0:ticket:created"
	q := listeners.Quarantined{ID: "q1", Group: "g", Subject: event.TicketUpdated, Payload: []byte("{bad"), Reason: listeners.Undecodable, At: noon}
	if err := f.db.Quarantine().Put(t.Context(), []listeners.Quarantined{q}); err != nil {
		t.Fatal(err)
	}
	for path, noted := range map[string]string{
		"/ops/outbox/" + id:          `msg="payload of an event was shown" service=tickets event_id=` + id + " address=192.0.2.1:1234",
		"/ops/replica/quarantine/q1": `msg="payload in quarantine was shown" service=tickets id=q1 address=192.0.2.1:1234`,
	} {
		for query, shown := range map[string]bool{"": false, "?payload=": false, "?payload=false": false, "?payload=0": false, "?payload=1": true, "?payload=true": true} {
			log.Reset()
			got := local(t, h, http.MethodGet, path+query)
			if got.status != 200 || strings.Contains(got.body, `"payload"`) != shown {
				t.Errorf("%s: %d %s", path+query, got.status, got.body)
			}
			if strings.Contains(log.String(), noted) != shown {
				t.Errorf("%s: the log says %q, want %q in it: %t", path+query, log.String(), noted, shown)
			}
		}
		if got := local(t, h, http.MethodGet, path+"?payload=please"); got.status != 400 {
			t.Errorf("%s?payload=please: %d %s", path, got.status, got.body)
		}
	}
	for _, list := range []string{"/ops/outbox?payload=1", "/ops/replica/quarantine?payload=1"} {
		if got := local(t, h, http.MethodGet, list); got.status != 200 || strings.Contains(got.body, `"payload"`) {
			t.Errorf("%s: %d %s", list, got.status, got.body)
		}
	}
}

// TestOpsAnswersAreData and nothing that a browser runs, frames or keeps. Case
// 11.8. Attack cases 29 and 50.
func TestOpsAnswersAreData(t *testing.T) {
	t.Parallel()
	_, h := newOps(t, nil)
	probes := NewProbes(OpsOptions{Ready: NewReadiness(nil, slog.New(slog.DiscardHandler)), Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}, ":9465")
	for path, door := range map[string]http.Handler{"/metrics": probes, "/healthz": h, "/ops/outbox": h, "/nothing": h, "/readyz": probes} {
		got := local(t, door, http.MethodGet, path)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cache-Control": "no-store",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got.header.Get(name), want)
			}
		}
	}
	if got := ask(t, h, "", http.MethodGet, "http://evil.example/healthz", ""); got.status != 421 || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a refusal: %d, headers %v", got.status, got.header)
	}
	if got := local(t, h, http.MethodPost, "/ops/outbox/x/retry", "Origin", "http://evil.example"); got.status != 403 || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a refusal of another site: %d, headers %v", got.status, got.header)
	}
	if got := local(t, probes, http.MethodPost, "/metrics"); got.status/100 == 2 {
		t.Errorf("metrics are an action: %d", got.status)
	}
}

// TestProbesStandAlone: what they need, to whoever asks, and nothing else. Case
// 11.9.
func TestProbesStandAlone(t *testing.T) {
	t.Parallel()
	o := OpsOptions{
		Ready: NewReadiness(nil, slog.New(slog.DiscardHandler)), Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		Token: "secret", Hosts: []string{"tickets-metrics"},
	}
	h := NewProbes(o, ":9465")
	for request, status := range map[string]int{
		"GET http://10.1.2.3:9465/metrics": 200, "GET http://tickets-metrics/healthz": 200, "HEAD http://10.1.2.3:9465/healthz": 200,
		"GET http://10.1.2.3:9465/readyz":     503, // it starts
		"GET http://evil.example/metrics":     421,
		"GET http://10.1.2.3:9465/ops/outbox": 503, "POST http://10.1.2.3:9465/ops/outbox/x/discard": 503,
	} {
		method, url, _ := strings.Cut(request, " ")
		if got := ask(t, h, "", method, url, ""); got.status != status {
			t.Errorf("%s: %d %s, want %d", request, got.status, got.body, status)
		}
	}
	o.Ready.look(t.Context()) // there are no checks: it is ready
	wantMissing(t, ask(t, h, "", http.MethodPost, "http://10.1.2.3:9465/ops/outbox/x/discard", ""), "Nothing but /metrics, /healthz and /readyz is served here")
}
