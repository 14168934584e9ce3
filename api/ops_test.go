package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/listeners"
	"lockstep/outbox"
	"lockstep/replica"
)

// newOps returns the operator's routes over a tickets fixture.
func newOps(t *testing.T, change func(*OpsOptions)) (*fixture, http.Handler) {
	t.Helper()
	f := newTickets(t)
	o := OpsOptions{
		Services: []Service{{
			Name: "tickets", Outbox: f.db.Outbox(), Quarantine: f.db.Quarantine(),
			Listeners: []Listener{elsewhere{}, shelf{f.db.Quarantine()}},
		}},
		Replica: f.db.Replica(), Locks: f.tickets, Tickets: f.db.Tickets(), Orders: f.db.Orders(),
		Ready: NewReadiness(nil, slog.New(slog.DiscardHandler)), Metrics: f.registry, Log: slog.New(slog.DiscardHandler), Address: "127.0.0.1:3002",
	}
	if change != nil {
		change(&o)
	}
	h, err := NewOps(o)
	if err != nil {
		t.Fatal(err)
	}
	return f, h
}

// shelf is a listener whose messages never become applicable.
type shelf struct{ store listeners.Quarantine }

func (shelf) Held() []listeners.HeldMessage {
	return []listeners.HeldMessage{{Key: "k", Subject: event.TicketUpdated, Version: 5, WaitsFor: 4, Since: noon, Deliveries: 1}}
}

func (shelf) Retry(_ context.Context, id string) error {
	return fmt.Errorf("retry message %s: %w", id, listeners.ErrTooEarly)
}

func (shelf) Check() error { return nil }

func (s shelf) Discard(ctx context.Context, entries []listeners.Quarantined) (int, error) {
	ids := make([]string, len(entries))
	for i, q := range entries {
		ids[i] = q.ID
	}
	return s.store.Remove(ctx, ids)
}

// elsewhere is a listener that set nothing aside.
type elsewhere struct{}

func (elsewhere) Check() error { return nil }

func (elsewhere) Held() []listeners.HeldMessage       { return nil }
func (elsewhere) Retry(context.Context, string) error { return listeners.ErrNotFound }
func (elsewhere) Discard(context.Context, []listeners.Quarantined) (int, error) {
	return 0, nil
}

// wantMissing wants an operator to be told what is not there, and what to do.
func wantMissing(t *testing.T, got answered, words string) {
	t.Helper()
	if got.status != 404 || !strings.Contains(got.body, words) {
		t.Errorf("answer = %d %s\nwant     404 with %q", got.status, got.body, words)
	}
}

// local sends a request as somebody on this machine would.
func local(t *testing.T, h http.Handler, method, path string, header ...string) answered {
	t.Helper()
	return ask(t, h, "", method, "http://127.0.0.1:3002"+path, "", header...)
}

type events struct {
	Events []recordAnswer
	Next   string
}

func listed(t *testing.T, h http.Handler, query string) events {
	t.Helper()
	got := local(t, h, http.MethodGet, "/ops/outbox"+query)
	var e events
	if err := json.Unmarshal([]byte(got.body), &e); err != nil || got.status != http.StatusOK {
		t.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	return e
}

func TestOpsShowsWhatWaits(t *testing.T) {
	t.Parallel()
	f, h := newOps(t, nil)
	id := f.create(t, "u1")
	if got := ask(t, f.door, "u1", http.MethodPut, "/api/tickets/"+id, `{"title":"t","price":1}`); got.status != 200 {
		t.Fatal(got)
	}
	first, second := id+":0:ticket:created", id+":1:ticket:updated"
	failure := outbox.Failure{At: noon, Class: outbox.Rejected, Message: "too large"}
	if _, err := f.db.Outbox().Fail(t.Context(), first, failure, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	all := listed(t, h, "?service=tickets").Events
	if len(all) != 2 || all[0].ID != first || all[1].ID != second {
		t.Fatalf("events = %+v", all)
	}
	head, next := all[0], all[1]
	if head.IsLocked || head.Attempts != 1 || head.Failures[0].Message != "too large" || head.NotBefore != "2026-11-23T13:00:00.630Z" || head.BlockedBy != "" {
		t.Errorf("first = %+v", head)
	}
	if !next.IsLocked || next.BlockedBy != first || next.Key != id || next.Version != 1 || next.Subject != event.TicketUpdated {
		t.Errorf("second = %+v", next)
	}
	if p := listed(t, h, "?limit=1"); len(p.Events) != 1 || p.Next != "tickets/"+first {
		t.Errorf("first page = %+v", p)
	}
	if p := listed(t, h, "?limit=1&after=tickets/"+first); len(p.Events) != 1 || p.Events[0].ID != second {
		t.Errorf("second page = %+v", p)
	}
	if p := listed(t, h, "?limit=1&after="+first); len(p.Events) != 1 || p.Events[0].ID != second {
		t.Errorf("second page = %+v", p)
	}
	if got := local(t, h, http.MethodGet, "/ops/outbox?service=orders"); got.status != 404 {
		t.Errorf("unknown service = %d", got.status)
	}
	if got := local(t, h, http.MethodGet, "/ops/outbox?limit=0"); got.status != 400 {
		t.Errorf("limit 0 = %d", got.status)
	}
	if got := local(t, h, http.MethodGet, "/ops/outbox/"+second+"?payload=true"); !strings.Contains(got.body, `"payload":"{`) {
		t.Errorf("event = %s", got.body)
	}
}

// TestOpsPagesThroughAllServices: a process of both services shows each event of
// both outboxes once, in pages of any size.
func TestOpsPagesThroughAllServices(t *testing.T) {
	t.Parallel()
	other := newTickets(t)
	f, h := newOps(t, func(o *OpsOptions) {
		o.Services = append(o.Services, Service{Name: "orders", Outbox: other.db.Outbox(), Quarantine: other.db.Quarantine()})
	})
	want := map[string]bool{}
	for range 5 {
		want["tickets "+f.create(t, "u1")+":0:ticket:created"] = true
		want["orders "+other.create(t, "u1")+":0:ticket:created"] = true
	}
	for limit := range 12 {
		got := map[string]bool{}
		for next, pages := "", 0; pages < 20; pages++ {
			p := listed(t, h, fmt.Sprintf("?limit=%d&after=%s", limit+1, next))
			for _, e := range p.Events {
				if got[e.Service+" "+e.ID] {
					t.Errorf("limit %d: %s of %s is shown twice", limit+1, e.ID, e.Service)
				}
				got[e.Service+" "+e.ID] = true
			}
			if next = p.Next; next == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limit %d: events (-want +got):\n%s", limit+1, diff)
		}
	}
}

func TestOpsRetriesAndDiscards(t *testing.T) {
	t.Parallel()
	f, h := newOps(t, nil)
	id := f.create(t, "u1") + ":0:ticket:created"
	if _, err := f.db.Outbox().Fail(t.Context(), id, outbox.Failure{At: noon}, noon.AddDate(9, 0, 0)); err != nil {
		t.Fatal(err)
	}
	want(t, local(t, h, http.MethodPost, "/ops/outbox/"+id+"/retry"), 204, "")
	if due, err := f.db.Outbox().Due(t.Context(), time.Now(), time.Now(), 9); err != nil || len(due) != 1 {
		t.Errorf("due = %v, %v; want the event", due, err)
	}
	want(t, local(t, h, http.MethodPost, "/ops/outbox/"+id+"/discard"), 204, "")
	wantMissing(t, local(t, h, http.MethodPost, "/ops/outbox/"+id+"/discard"), "No such event waits here")
	wantMissing(t, local(t, h, http.MethodPost, "/ops/outbox/"+id+"/retry"), "No such event waits here")
	wantMissing(t, local(t, h, http.MethodGet, "/ops/outbox/"+id), "No such event waits here")
	want(t, local(t, h, http.MethodGet, "/ops/outbox/"+id+"/discard"), 404, notFound)
}

func TestOpsShowsReplicaAndLocks(t *testing.T) {
	t.Parallel()
	f, h := newOps(t, nil)
	f.replicate(t, event.None, replica.Row{ID: "Some/Key", Version: 4, Title: "<t>", Price: 2.5, OrderID: "o"})
	want(t, local(t, h, http.MethodGet, "/ops/replica/tickets/Some%2FKey"), 200, `{"id":"Some/Key","version":4,"title":"<t>","price":2.5,"orderId":"o"}`)
	wantMissing(t, local(t, h, http.MethodGet, "/ops/replica/tickets/unknown"), "The replica has no such ticket")
	id, order := f.create(t, "u1"), objectid.New()
	f.lock(t, id, order)
	want(t, local(t, h, http.MethodGet, "/ops/locks/"+order), 200, `{"orderId":"`+order+`","ticketId":"`+id+`","version":0,"state":"held"}`)
	wantMissing(t, local(t, h, http.MethodGet, "/ops/locks/unknown"), "Nothing is known of such an order here")
	want(t, local(t, h, http.MethodGet, "/ops/replica/held"), 200,
		`{"messages":[{"service":"tickets","key":"k","subject":"ticket:updated","version":5,"waitsFor":4,"since":"2026-11-23T12:00:00.63Z","deliveries":1}]}`)
	want(t, local(t, h, http.MethodGet, "/ops/tickets/"+id), 200, `{"id":"`+id+`","version":1,"title":"concert","price":20,"orderId":"`+order+`"}`)
}

func TestOpsShowsAndDiscardsWhatWasSetAside(t *testing.T) {
	t.Parallel()
	f, h := newOps(t, nil)
	q := listeners.Quarantined{ID: "q1", Group: "orders-service", Subject: event.TicketUpdated, Sequence: 3, Payload: []byte("{bad"), Reason: listeners.Undecodable, Detail: "no JSON", At: noon}
	if err := f.db.Quarantine().Put(t.Context(), []listeners.Quarantined{q}); err != nil {
		t.Fatal(err)
	}
	line := `{"id":"q1","service":"tickets","group":"orders-service","subject":"ticket:updated","sequence":3,"version":0,"reason":"undecodable","detail":"no JSON","at":"2026-11-23T12:00:00.630Z"`
	const path = "/ops/replica/quarantine"
	want(t, local(t, h, http.MethodGet, path), 200, `{"messages":[`+line+`}]}`)
	want(t, local(t, h, http.MethodGet, path+"/q1"), 200, line+`}`)
	want(t, local(t, h, http.MethodGet, path+"/q1?payload=1"), 200, line+`,"payload":"{bad"}`)
	want(t, local(t, h, http.MethodPost, path+"/q1/retry"), 409, `{"errors":[{"message":"retry message q1: its predecessor is still missing"}]}`)
	want(t, local(t, h, http.MethodPost, path+"/q1/discard"), 204, "")
	wantMissing(t, local(t, h, http.MethodPost, path+"/q1/discard"), "No such message is in quarantine here")
	want(t, local(t, h, http.MethodGet, path), 200, `{"messages":[]}`)
}

func TestWhoMayChangeState(t *testing.T) {
	t.Parallel()
	o := OpsOptions{Ready: NewReadiness(nil, slog.New(slog.DiscardHandler)), Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Address: ":9464"}
	if _, err := NewOps(o); !errors.Is(err, ErrNoToken) {
		t.Errorf("ops on every address without a token: %v, want ErrNoToken", err)
	}
	_, open := newOps(t, func(o *OpsOptions) {
		o.Address, o.Token, o.Hosts = "0.0.0.0:9464", "secret", []string{"pod", "tickets-ops"}
	})
	_, closed := newOps(t, nil)
	const discard = "/ops/outbox/x/discard"
	for _, tt := range []struct {
		name   string
		h      http.Handler
		method string
		host   string
		header []string
		status int
	}{
		{"reading without the token", open, http.MethodGet, "pod:9464", nil, 401}, // case 11.9
		{"reading with it", open, http.MethodGet, "pod:9464", []string{"Authorization", "Bearer secret"}, 404},
		{"a foreign name", open, http.MethodGet, "evil.example:9464", []string{"Authorization", "Bearer secret"}, 421},
		{"a name that was named", open, http.MethodGet, "Tickets-Ops.:9464", []string{"Authorization", "Bearer secret"}, 404},
		{"an address", open, http.MethodGet, "10.1.2.3:9464", []string{"Authorization", "Bearer secret"}, 404},
		{"another address than loopback's", closed, http.MethodGet, "0.0.0.0:3002", nil, 421},
		{"reading on loopback", closed, http.MethodGet, "127.0.0.1:3002", nil, 404},
		{"no token", open, http.MethodPost, "pod:9464", nil, 401},
		{"wrong token", open, http.MethodPost, "pod:9464", []string{"Authorization", "Bearer wrong"}, 401},
		{"another scheme", open, http.MethodPost, "pod:9464", []string{"Authorization", "Basic secret"}, 401},
		{"the token", open, http.MethodPost, "pod:9464", []string{"Authorization", "Bearer secret"}, 404},
		{"the scheme in other letters", open, http.MethodPost, "pod:9464", []string{"Authorization", "bearer secret"}, 404},
		{"the token and another one", open, http.MethodPost, "pod:9464", []string{"Authorization", "Bearer secret", "Authorization", "Bearer x"}, 401},
		{"two in one header", open, http.MethodPost, "pod:9464", []string{"Authorization", "Bearer secret, Bearer x"}, 401},
		{"no scheme", open, http.MethodPost, "pod:9464", []string{"Authorization", "secret"}, 401},
		{"a longer one", open, http.MethodPost, "pod:9464", []string{"Authorization", "Bearer secret "}, 401},
		{"loopback", closed, http.MethodPost, "127.0.0.1:3002", nil, 404},
		{"loopback by name", closed, http.MethodPost, "localhost:3002", nil, 404},
		{"loopback, version 6", closed, http.MethodPost, "[::1]:3002", nil, 404},
		{"loopback by name, in capitals", closed, http.MethodPost, "LOCALHOST", nil, 404}, // case 10.16
		{"loopback by its full name", closed, http.MethodPost, "localhost.:3002", nil, 404},
		{"a name that begins as loopback", closed, http.MethodPost, "localhost.evil.example", nil, 421},
		{"a name that resolves to loopback", closed, http.MethodGet, "evil.example:3002", nil, 421},
		{"a page of another site", closed, http.MethodPost, "127.0.0.1:3002", []string{"Origin", "http://evil.example"}, 403},
		{"a page of another site, newer browser", closed, http.MethodPost, "127.0.0.1:3002", []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := discard
			if tt.method == http.MethodGet {
				path = "/ops/outbox/x"
			}
			if got := ask(t, tt.h, "", tt.method, "http://"+tt.host+path, "", tt.header...); got.status != tt.status {
				t.Errorf("status = %d %s, want %d", got.status, got.body, tt.status)
			}
		})
	}
}

// TestProbesNeedNoToken, with a slash at their end either: the route is the same,
// and the answer of METRICS_ADDR. Case 11.9.
func TestProbesNeedNoToken(t *testing.T) {
	t.Parallel()
	_, h := newOps(t, func(o *OpsOptions) { o.Address, o.Token = "0.0.0.0:9464", "secret" })
	for path, status := range map[string]int{
		"/metrics": 200, "/metrics/": 200, "/healthz": 200, "/healthz/": 200, "/readyz/": 503,
		"/metrics//": 401, "//metrics": 401, "/metrics/x": 401, "/": 401, "/metrics;/ops/replica/status": 401, "/metrics/../ops/replica/status": 401,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if got := ask(t, h, "", method, "http://10.1.2.3:9464"+path, ""); got.status != status {
				t.Errorf("%s %s = %d, want %d", method, path, got.status, status)
			}
		}
		if got := ask(t, h, "", http.MethodPost, "http://10.1.2.3:9464"+path, ""); got.status != 401 {
			t.Errorf("POST %s = %d, want 401", path, got.status)
		}
	}
}

// foreignEntry is an outbox with an entry that is no event.
type foreignEntry struct {
	Outbox
	entry outbox.Record
}

func (f foreignEntry) List(context.Context, string, int) ([]outbox.Record, error) {
	return []outbox.Record{f.entry}, nil
}

func (f foreignEntry) Record(context.Context, string) (outbox.Record, error) { return f.entry, nil }

// Case 10.3.
func TestOpsShowsWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	entry := outbox.Record{Unreadable: &outbox.Unreadable{ID: `{"of":"x"}`, Why: "key is no string"}}
	_, h := newOps(t, func(o *OpsOptions) { o.Services[0].Outbox = foreignEntry{o.Services[0].Outbox, entry} })
	for _, path := range []string{"", "/%7B%22of%22:%22x%22%7D"} {
		a := local(t, h, http.MethodGet, "/ops/outbox"+path)
		for _, part := range []string{`"id":"{\"of\":\"x\"}"`, `"unreadable":"key is no string"`} {
			if a.status != 200 || !strings.Contains(a.body, part) {
				t.Errorf("GET /ops/outbox%s = %d %s, want %s in it", path, a.status, a.body, part)
			}
		}
	}
	// Case 10.13: a retry says why it cannot be.
	want(t, local(t, h, http.MethodPost, "/ops/outbox/%7B%22of%22:%22x%22%7D/retry"), 409, `{"errors":[{"message":`+
		`"It is no event and cannot be published: key is no string. Discard it, or mend it where it is stored: then it is published by itself"}]}`)
}
