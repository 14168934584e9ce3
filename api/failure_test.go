package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"lockstep/internal/group"
	"lockstep/internal/objectid"
	"lockstep/ticket"
)

// broken is a store that fails as it is told to.
type broken struct {
	ticket.Store
	err  error
	free int // tickets that Free yields before the error
}

func (b broken) Ticket(context.Context, string) (ticket.Ticket, error) {
	return ticket.Ticket{ID: objectid.New(), UserID: "u1"}, b.err
}

func (b broken) Commit(context.Context, ticket.Change) error {
	if b.err == nil {
		panic("the store panics")
	}
	return b.err
}

func (b broken) Free(context.Context) iter.Seq2[ticket.Ticket, error] {
	return func(yield func(ticket.Ticket, error) bool) {
		for range b.free {
			if !yield(ticket.Ticket{Title: strings.Repeat("x", 1000)}, nil) {
				return
			}
		}
		yield(ticket.Ticket{}, b.err)
	}
}

// doorOver returns a tickets door over a store, and what it logs.
func doorOver(t *testing.T, s ticket.Store) (http.Handler, *bytes.Buffer, *prometheus.Registry) {
	t.Helper()
	var log bytes.Buffer
	o := optionsFor(t, prometheus.NewRegistry())
	o.Log = slog.New(slog.NewJSONHandler(&log, nil))
	door, err := NewTickets(ticket.NewService(s, ticket.Options{}), o)
	if err != nil {
		t.Fatal(err)
	}
	return door, &log, o.Registerer.(*prometheus.Registry)
}

func TestUnexpectedFailuresAre500WithAnIDThatIsInTheLog(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"error": errors.New("disk full at /secret/path"), "panic": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			door, log, _ := doorOver(t, broken{err: err})
			got := ask(t, door, "u1", http.MethodPost, "/api/tickets", `{"title":"t","price":1}`)
			if got.status != http.StatusInternalServerError {
				t.Fatalf("answer = %d %s", got.status, got.body)
			}
			var body errorsBody
			if err := json.Unmarshal([]byte(got.body), &body); err != nil {
				t.Fatal(err)
			}
			if len(body.Errors) != 1 || body.Errors[0].ID == "" {
				t.Fatalf("body = %s, want an error id", got.body)
			}
			if strings.Contains(got.body, "secret") {
				t.Errorf("the client is told what failed: %s", got.body)
			}
			if !strings.Contains(log.String(), body.Errors[0].ID) {
				t.Errorf("id %s is not in the log: %s", body.Errors[0].ID, log)
			}
		})
	}
}

// TestLostUpdatesAndUnknownOutcomes: group.ErrRefused is, among others, a store
// that another program keeps locked, case 10.16.
func TestLostUpdatesAndUnknownOutcomes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
	}{{ticket.ErrConflict, 409}, {ticket.ErrUnknown, 503}, {context.DeadlineExceeded, 503}, {group.ErrRefused, 503}, {group.ErrClosed, 503}} {
		door, _, _ := doorOver(t, conflicting{err: tt.err})
		got := ask(t, door, "u1", http.MethodPut, "/api/tickets/"+objectid.New(), `{"title":"t","price":1}`)
		if got.status != tt.status || !strings.HasPrefix(got.body, `{"errors":[{"message":`) {
			t.Errorf("%v: answer = %d %s, want %d", tt.err, got.status, got.body, tt.status)
		}
		if again := got.header.Get("Retry-After"); (again != "") != (tt.status == 503) {
			t.Errorf("%v: Retry-After is %q", tt.err, again)
		}
	}
}

// conflicting is a store whose reads work and whose commits do not.
type conflicting struct {
	ticket.Store
	err error
}

func (conflicting) Ticket(context.Context, string) (ticket.Ticket, error) {
	return ticket.Ticket{UserID: "u1"}, nil
}

func (c conflicting) Commit(context.Context, ticket.Change) error { return c.err }

func TestAListThatFails(t *testing.T) {
	t.Parallel()
	door, _, _ := doorOver(t, broken{err: errors.New("read"), free: 2})
	if got := ask(t, door, "", http.MethodGet, "/api/tickets", ""); got.status != http.StatusInternalServerError {
		t.Errorf("before anything was sent: %d %.100s, want 500", got.status, got.body)
	}
	door, _, _ = doorOver(t, broken{err: errors.New("read"), free: 100})
	server := httptest.NewServer(door)
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/tickets", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(resp.Body); err == nil {
		t.Errorf("a list that broke off looks whole: %d bytes", buf.Len())
	}
}

func TestRequestsAreMeasuredByRoute(t *testing.T) {
	t.Parallel()
	door, _, reg := doorOver(t, conflicting{})
	for _, path := range []string{"/api/tickets/" + objectid.New(), "/api/tickets/" + objectid.New(), "/wp-admin/" + objectid.New()} {
		ask(t, door, "", http.MethodGet, path, "")
	}
	ask(t, door, "", "BREW", "/x", "")
	const name = "lockstep_http_request_duration_seconds"
	before := testutil.CollectAndCount(reg, name)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, m := range families[len(families)-1].GetMetric() { // sorted, and its name is the last one
		key := ""
		for _, l := range m.GetLabel() {
			key += l.GetValue() + " "
		}
		counts[key] = m.GetHistogram().GetSampleCount()
	}
	for key, n := range map[string]uint64{"200 GET /api/tickets/{id} ": 2, "404 GET unmatched ": 1, "404 other unmatched ": 1, "201 POST /api/tickets ": 0} {
		if got, exists := counts[key]; !exists || got != n {
			t.Errorf("%q = %d (exists: %t), want %d", key, got, exists, n)
		}
	}
	if before > 100 {
		t.Errorf("%d series of requests", before)
	}
}
