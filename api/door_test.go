package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/order"
	"lockstep/store/sqlite"
	"lockstep/ticket"
)

// fixture is a door over a fresh store.
type fixture struct {
	db       *sqlite.DB
	tickets  *ticket.Service
	orders   *order.Service
	door     http.Handler
	registry *prometheus.Registry
}

func openStore(t *testing.T) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func optionsFor(t *testing.T, reg prometheus.Registerer) Options {
	t.Helper()
	return Options{Sessions: newSessions(t), Log: slog.New(slog.DiscardHandler), Registerer: reg}
}

func newTickets(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{db: openStore(t), registry: prometheus.NewRegistry()}
	f.tickets = ticket.NewService(f.db.Tickets(), ticket.Options{})
	o := optionsFor(t, f.registry)
	o.Delete = true
	door, err := NewTickets(f.tickets, o)
	if err != nil {
		t.Fatal(err)
	}
	f.door = door
	return f
}

// answered is what a door said.
type answered struct {
	status int
	body   string
	header http.Header
}

// ask sends one request. user "" is nobody; the content type is JSON unless
// the header says otherwise.
func ask(t *testing.T, h http.Handler, user, method, path, body string, header ...string) answered {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if user != "" {
		r.Header.Set("Cookie", cookieOf(t, user))
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Del(header[i])
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	data, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{w.Code, string(data), w.Header()}
}

// Bodies of refusals, as the originals send them.
const (
	somethingWrong = `{"errors":[{"message":"Something went wrong"}]}`
	notAuthorized  = `{"errors":[{"message":"Not authorized"}]}`
	notFound       = `{"errors":[{"message":"Not found"}]}`
	badTitle       = `{"errors":[{"message":"Title is required","field":"title"}]}`
	badPrice       = `{"errors":[{"message":"Price must be greater than 0","field":"price"}]}`
	badBoth        = `{"errors":[{"message":"Title is required","field":"title"},{"message":"Price must be greater than 0","field":"price"}]}`
	reserved       = `{"errors":[{"message":"Cannot edit a reserved ticket"}]}`
)

func want(t *testing.T, got answered, status int, body string) {
	t.Helper()
	if got.status != status || got.body != body {
		t.Errorf("answer = %d %.300s\nwant     %d %.300s", got.status, got.body, status, body)
	}
	if status != http.StatusNoContent && got.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("content type = %q", got.header.Get("Content-Type"))
	}
}
