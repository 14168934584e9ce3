package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// probes is a readiness of a store and of a broker that is optional, with what
// their probes return. Tests change it between looks only.
type probes struct {
	*Readiness
	reg        *prometheus.Registry
	store, bus error
}

func newProbes() *probes {
	p := &probes{reg: prometheus.NewRegistry()}
	p.Readiness = NewReadiness(p.reg, slog.New(slog.DiscardHandler),
		Check{Name: "store", Probe: func(context.Context) error { return p.store }},
		Check{Name: "broker", Need: Never, Probe: func(context.Context) error { return p.bus }},
	)
	return p
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	p := newProbes()
	_, h := newOps(t, func(o *OpsOptions) { o.Ready = p.Readiness })
	after := func(looks, status int, body string) {
		t.Helper()
		for range looks {
			p.look(t.Context())
		}
		want(t, local(t, h, http.MethodGet, "/readyz"), status, body)
	}
	after(0, 503, `{"ready":false,"checks":[{"name":"process","status":"failed","reason":"starting"}]}`)
	p.store = errors.New("opening")
	after(1, 503, `{"ready":false,"checks":[{"name":"store","status":"failed","reason":"opening"},{"name":"broker","status":"ok"}]}`)
	p.store = nil
	after(1, 200, `{"ready":true,"checks":[{"name":"store","status":"ok"},{"name":"broker","status":"ok"}]}`)
	p.bus = errors.New("gone")
	after(5, 200, `{"ready":true,"checks":[{"name":"store","status":"ok"},{"name":"broker","status":"degraded","reason":"gone"}]}`)

	// Case 11.11: one slow answer is no reason to take every process away.
	p.store, p.bus = errors.New("closed"), nil
	after(patience-1, 200, `{"ready":true,"checks":[{"name":"store","status":"degraded","reason":"closed"},{"name":"broker","status":"ok"}]}`)
	after(1, 503, `{"ready":false,"checks":[{"name":"store","status":"failed","reason":"closed"},{"name":"broker","status":"ok"}]}`)
	if err := testutil.GatherAndCompare(p.reg, strings.NewReader(`
# HELP lockstep_check_ok 1 while a check of readiness succeeds.
# TYPE lockstep_check_ok gauge
lockstep_check_ok{check="broker"} 1
lockstep_check_ok{check="store"} 0
# HELP lockstep_ready 1 while this process should be sent requests.
# TYPE lockstep_ready gauge
lockstep_ready 0
`)); err != nil {
		t.Error(err)
	}
	p.store = nil
	after(1, 200, `{"ready":true,"checks":[{"name":"store","status":"ok"},{"name":"broker","status":"ok"}]}`)
	p.Drain()
	if got := local(t, h, http.MethodGet, "/readyz"); got.status != 503 || !strings.Contains(got.body, "shutting down") {
		t.Errorf("draining = %d %s", got.status, got.body)
	}
	want(t, local(t, h, http.MethodGet, "/healthz"), 200, `{"status":"ok"}`)
	if got := local(t, h, http.MethodGet, "/metrics"); !strings.Contains(got.body, "lockstep_http_request_duration_seconds") {
		t.Errorf("metrics = %d %.200s", got.status, got.body)
	}
}

// TestReadinessNeedsSomeChecksOnlyToStart: such a one keeps a process that starts
// from being ready, and says afterwards what is true. Case 11.10.
func TestReadinessNeedsSomeChecksOnlyToStart(t *testing.T) {
	t.Parallel()
	connecting := errors.New("connecting")
	var subscribed, counted error = connecting, connecting
	var log strings.Builder
	reg := prometheus.NewRegistry()
	r := NewReadiness(reg, slog.New(slog.NewTextHandler(&log, nil)),
		Check{Name: "listener", Need: ToStart, Probe: func(context.Context) error { return subscribed }},
		Check{Name: "outbox", Need: Never, Probe: func(context.Context) error { return counted }},
	)
	now := time.Now()
	r.now = func() time.Time { return now }
	after := func(ready bool, status Status, ok string) {
		t.Helper()
		r.look(t.Context())
		now = now.Add(lookEvery)
		if got := r.Answer(); got.Ready != ready || got.Checks[0].Status != status {
			t.Errorf("%+v, want ready %t and the listener %s", got, ready, status)
		}
		if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP lockstep_check_ok 1 while a check of readiness succeeds.
# TYPE lockstep_check_ok gauge
lockstep_check_ok{check="listener"} `+ok+`
lockstep_check_ok{check="outbox"} 0
`), "lockstep_check_ok"); err != nil {
			t.Error(err)
		}
	}
	after(false, Failed, "0")
	subscribed = nil
	after(true, OK, "1")
	if log.String() != "" {
		t.Errorf("it tells of what it looks at for the first time: %s", log.String())
	}
	subscribed = errors.New("gone")
	for range patience + 1 {
		after(true, Degraded, "0")
	}
	if !strings.Contains(log.String(), "gone") || strings.Contains(log.String(), "connecting") {
		t.Errorf("log: %s, want the listener alone", log.String())
	}
	subscribed = nil
	after(true, OK, "1")
	now = now.Add(settling)
	after(true, OK, "1")
	if !strings.Contains(log.String(), "connecting") {
		t.Errorf("log: %s, want what does not succeed for long", log.String())
	}
}

// Case 11.11: probes answer at once, whatever hangs, and do not show green what
// nobody has looked at.
func TestReadinessAnswersWhileACheckHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		hangs := make(chan struct{})
		var frozen atomic.Bool
		reg := prometheus.NewRegistry()
		r := NewReadiness(reg, slog.New(slog.DiscardHandler), Check{Name: "store", Probe: func(ctx context.Context) error {
			if frozen.Load() {
				<-ctx.Done()
				<-hangs // it does not even end with its context
			}
			return ctx.Err()
		}})
		go func() { _ = r.Run(ctx) }() // returns nil
		<-r.First()
		synctest.Wait()
		frozen.Store(true)
		for _, tt := range []struct {
			after time.Duration
			ready bool
		}{{3 * time.Second, true}, {15 * time.Second, false}} {
			time.Sleep(tt.after)
			asked := time.Now()
			if got := r.Answer(); got.Ready != tt.ready || time.Since(asked) != 0 {
				t.Errorf("%v after a check began to hang: %+v in %v, want ready %t at once", tt.after, got, time.Since(asked), tt.ready)
			}
			value := fmt.Sprint(number(tt.ready)) // Case 11.10
			if err := testutil.GatherAndCompare(reg, strings.NewReader("# HELP lockstep_check_ok 1 while a check of readiness succeeds.\n"+
				"# TYPE lockstep_check_ok gauge\nlockstep_check_ok{check=\"store\"} "+value+"\n"), "lockstep_check_ok"); err != nil {
				t.Error(err)
			}
		}
		frozen.Store(false)
		close(hangs)
		time.Sleep(2 * lookEvery)
		if got := r.Answer(); !got.Ready {
			t.Errorf("afterwards: %+v, want ready", got)
		}
		stop()
		synctest.Wait()
	})
}
