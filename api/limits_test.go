package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const tooMany = `{"errors":[{"message":"Too many changes: try again later"}]}`

// limited returns a door of tickets that is held to limits.
func limited(t *testing.T, l Limits) (*fixture, *prometheus.Registry) {
	t.Helper()
	f, reg := newTickets(t), prometheus.NewRegistry()
	o := optionsFor(t, reg)
	o.Limits = l
	door, err := NewTickets(f.tickets, o)
	if err != nil {
		t.Fatal(err)
	}
	f.door = door
	return f, reg
}

// Case 11.8.
func TestChangesOfOneUserAreLimited(t *testing.T) {
	t.Parallel()
	f, reg := limited(t, Limits{PerUser: 3})
	id := f.create(t, "u1")
	const draft = `{"title":"t","price":1}`
	want(t, ask(t, f.door, "u1", http.MethodPut, "/api/tickets/"+id, draft), 200,
		fmt.Sprintf(`{"title":"t","price":1,"userId":"u1","version":1,"id":%q}`, id))
	want(t, ask(t, f.door, "u1", http.MethodPut, "/api/tickets/"+id, `{}`), 400, badBoth) // asked for, too
	refused := ask(t, f.door, "u1", http.MethodPut, "/api/tickets/"+id, draft)
	want(t, refused, 429, tooMany)
	if after, err := strconv.Atoi(refused.header.Get("Retry-After")); err != nil || after < 1 || after > 20 {
		t.Errorf("Retry-After %q, want up to 20 s at 3 a minute", refused.header.Get("Retry-After"))
	}
	f.create(t, "u2") // others are not held up
	want(t, ask(t, f.door, "", http.MethodPost, "/api/tickets", draft), 401, notAuthorized)
	if got := ask(t, f.door, "u1", http.MethodGet, "/api/tickets/"+id, ""); got.status != 200 {
		t.Errorf("reading is limited: %d %s", got.status, got.body)
	}
	expected := `# HELP lockstep_http_limited_total Changes that were refused because too many were asked for, by whose limit.
# TYPE lockstep_http_limited_total counter
lockstep_http_limited_total{by="address"} 0
lockstep_http_limited_total{by="user"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(expected), "lockstep_http_limited_total"); err != nil {
		t.Error(err)
	}
}

// TestChangesFromOneAddressAreLimited: that of the connection counts, whatever
// the request says, unless a proxy that is trusted says it. Case 11.8. Attack
// case 42.
func TestChangesFromOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, proxies string
		peers         []string // one after the other
		forwarded     []string
		refused       bool
	}{
		{"one address", "", []string{"192.0.2.1:1", "192.0.2.1:2"}, nil, true},
		{"two", "", []string{"192.0.2.1:1", "192.0.2.2:1"}, nil, false},
		{"one that claims to be two", "", []string{"192.0.2.1:1", "192.0.2.1:1"}, []string{"203.0.113.1", "203.0.113.2"}, true},
		{"one that claims to be two, beside a proxy", "10.0.0.0/8", []string{"192.0.2.1:1", "192.0.2.1:1"}, []string{"203.0.113.1", "203.0.113.2"}, true},
		{"one network of version 6", "", []string{"[2001:db8::1]:1", "[2001:db8::ffff]:1"}, nil, true},
		{"two networks", "", []string{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1"}, nil, false},
		{"version 4 in both ways", "", []string{"192.0.2.1:1", "[::ffff:192.0.2.1]:1"}, nil, true},
		{"two behind a proxy", "10.0.0.0/8", []string{"10.0.0.1:1", "10.0.0.1:1"}, []string{"203.0.113.1", "203.0.113.2"}, false},
		{"one behind two proxies", "10.0.0.7, 10.1.0.0/16", []string{"10.0.0.7:1", "10.1.2.3:1"}, []string{"203.0.113.1", "203.0.113.1, 10.0.0.7"}, true},
		{"one that puts others before itself", "10.0.0.0/8", []string{"10.0.0.1:1", "10.0.0.1:1"}, []string{"198.51.100.1, 203.0.113.1", "198.51.100.2, 203.0.113.1"}, true},
		{"a proxy that says nothing", "10.0.0.0/8", []string{"10.0.0.1:1", "10.0.0.1:1"}, nil, true},
		{"nonsense through a proxy", "10.0.0.0/8", []string{"10.0.0.1:1", "10.0.0.1:1"}, []string{"x", "y"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := Limits{PerAddress: 1}
			if tt.proxies != "" {
				var err error
				if l.Proxies, err = ParseProxies(tt.proxies); err != nil {
					t.Fatal(err)
				}
			}
			f, _ := limited(t, l)
			status := 0
			for i, peer := range tt.peers {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/tickets", nil) // nobody is signed in
				r.RemoteAddr = peer
				if tt.forwarded != nil {
					r.Header.Set("X-Forwarded-For", tt.forwarded[i])
				}
				w := httptest.NewRecorder()
				f.door.ServeHTTP(w, r)
				status = w.Code
			}
			if wanted := map[bool]int{true: 429, false: 401}[tt.refused]; status != wanted {
				t.Errorf("the second one is answered with %d, want %d", status, wanted)
			}
		})
	}
}

func TestNothingIsLimitedUnlessAskedFor(t *testing.T) {
	t.Parallel()
	f, _ := limited(t, Limits{})
	for range 200 {
		f.create(t, "u1")
	}
}

func TestBucketsFillAgain(t *testing.T) {
	t.Parallel()
	b, now := newBuckets(60), noon
	b.now = func() time.Time { return now }
	for i := range 60 {
		if wait := b.take("k"); wait > 0 {
			t.Fatalf("number %d has to wait %v", i+1, wait)
		}
	}
	for range 3 { // asking costs nothing
		if wait := b.take("k"); wait != time.Second {
			t.Errorf("number 61 has to wait %v, want a second", wait)
		}
	}
	now = now.Add(time.Second)
	if first, second := b.take("k"), b.take("k"); first != 0 || second != time.Second {
		t.Errorf("a second later: %v and %v, want one of them let through", first, second)
	}
}

// TestWhatIsRememberedIsBounded: those who asked last are remembered.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	b := newBuckets(1)
	b.take("first")
	for i := range maxBuckets {
		b.take(fmt.Sprint(i))
	}
	b.take(fmt.Sprint(maxBuckets - 1))
	if len(b.by) != maxBuckets || b.recent.Len() != maxBuckets {
		t.Errorf("%d and %d are remembered, want %d", len(b.by), b.recent.Len(), maxBuckets)
	}
	if b.take("first") > 0 || b.take("5") == 0 {
		t.Error("not the one that asked longest ago was forgotten")
	}
}
