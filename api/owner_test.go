package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/replica"
	"lockstep/ticket"
)

// address is a server whose role changes under its clients.
type address struct {
	role    atomic.Value // of func(http.ResponseWriter, *http.Request)
	asked   atomic.Int64
	listing atomic.Int64 // of those, for /api/tickets
}

func (a *address) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked.Add(1)
	if r.URL.Path == "/api/tickets" {
		a.listing.Add(1)
	}
	a.role.Load().(func(http.ResponseWriter, *http.Request))(w, r)
}

func refuseAll(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprint(w, `{"errors":[{"message":"Not Found"}]}`)
}

func ingress(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "<html>404 Not Found, nginx</html>", http.StatusNotFound)
}

// opsPort answers as the ops port of a tickets service that has ticket a.
func opsPort(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ops/tickets":
		fmt.Fprint(w, `{"tickets":[{"id":"a","version":3,"title":"t","price":1}]}`)
	case "/ops/tickets/a":
		fmt.Fprint(w, `{"id":"a","version":3,"title":"t","price":1}`)
	default:
		refuseAll(w, r)
	}
}

// nodeAPI answers as Node's tickets service that has ticket a on sale and b
// held.
func nodeAPI(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/api/tickets":
		fmt.Fprint(w, `[{"title":"t","price":1,"userId":"u","version":4,"id":"a"}]`)
	case "/api/tickets/a":
		fmt.Fprint(w, `{"title":"t","price":1,"userId":"u","version":4,"id":"a"}`)
	case "/api/tickets/b":
		fmt.Fprint(w, `{"title":"t","price":1,"userId":"u","version":5,"id":"b","orderId":"o"}`)
	default:
		refuseAll(w, r)
	}
}

// at returns an owner at an address of that role, and a clock to move on.
func at(t *testing.T, role func(http.ResponseWriter, *http.Request)) (*Owner, *address, func(time.Duration)) {
	t.Helper()
	a := &address{}
	a.role.Store(role)
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	o, err := NewOwner(srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	o.now = func() time.Time { return now }
	return o, a, func(d time.Duration) { now = now.Add(d) }
}

func onSale(t *testing.T, o *Owner) (rows []replica.Row, err error) {
	t.Helper()
	for row, err := range o.OnSale(t.Context()) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func wantVersion(t *testing.T, o *Owner, id string, want int64) {
	t.Helper()
	row, err := o.Snapshot(t.Context(), id)
	if err != nil || row.Version != want {
		t.Errorf("snapshot of %s: %+v, %v; want version %d", id, row, err, want)
	}
}

// TestAnIDInCapitalsIsAnother, although the API reads it as the one that it has: a
// forged ticket of such an id is none of the owner's, and ends no comparison. Case
// 11.6.
func TestAnIDInCapitalsIsAnother(t *testing.T) {
	t.Parallel()
	o, _, _ := at(t, func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.ToLower(r.URL.Path)
		nodeAPI(w, r)
	})
	wantVersion(t, o, "a", 4)
	if _, err := o.Snapshot(t.Context(), "A"); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("a ticket of another id: %v, want that there is none", err)
	}
}

// Case 10.19: one 404 of something on the way does not turn an ops port into a
// public API, and is no word of the owner's about a ticket.
func TestATransientRefusalDecidesNothing(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]func(http.ResponseWriter, *http.Request){"a proxy": ingress, "a service": refuseAll} {
		for _, role := range []func(http.ResponseWriter, *http.Request){opsPort, nodeAPI} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o, a, _ := at(t, role)
				want := int64(3)
				if _, err := o.Page(t.Context(), "", 10); errors.Is(err, replica.ErrPublic) {
					want = 4
				}
				a.role.Store(refusal)
				if _, err := o.Snapshot(t.Context(), "a"); err == nil || errors.Is(err, replica.ErrNotFound) {
					t.Errorf("snapshot through a refusal: %v, want an error that says nothing of the ticket", err)
				}
				if _, err := o.Page(t.Context(), "", 10); err == nil || want == 3 && errors.Is(err, replica.ErrPublic) {
					t.Errorf("page through a refusal: %v, want an error", err)
				}
				a.role.Store(role)
				wantVersion(t, o, "a", want)
				if _, err := o.Snapshot(t.Context(), "none"); !errors.Is(err, replica.ErrNotFound) {
					t.Errorf("snapshot of an unknown ticket: %v, want ErrNotFound", err)
				}
				rows, err := o.Page(t.Context(), "", 10)
				if want == 3 && (err != nil || len(rows) != 1) || want == 4 && !errors.Is(err, replica.ErrPublic) {
					t.Errorf("page afterwards: %v, %v", rows, err)
				}
			})
		}
	}
}

// TestATicketThatItsOwnerDoesNotHaveCostsOneRequest, in a repair and in a
// comparison beside many of them: the ops port's word needs no second look at what
// the address serves. Case 11.4.
func TestATicketThatItsOwnerDoesNotHaveCostsOneRequest(t *testing.T) {
	t.Parallel()
	const ghosts, lists = 50, 5 // requests for lists, however many ghosts there are
	f, ops := newOps(t, nil)
	f.create(t, "u1")
	o, a, _ := at(t, ops.ServeHTTP)
	var writes []replica.Write
	for i := range ghosts {
		writes = append(writes, replica.Write{From: event.None, Row: replica.Row{ID: fmt.Sprintf("%024x", i), Title: "forged"}})
	}
	if _, err := f.db.Replica().Write(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	repairer := replica.NewRepairer(f.db.Replica(), o, replica.RepairOptions{})
	if _, err := repairer.Repair(t.Context(), writes[0].Row.ID, replica.ByGap); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("repair: %v, want ErrNotFound", err)
	}
	if n := a.asked.Load(); n != 2 { // what the address serves, and the ticket
		t.Errorf("%d requests for the first ghost, want 2", n)
	}
	a.asked.Store(0)
	verifier := replica.NewVerifier(f.db.Replica(), o, time.Millisecond)
	found, err := verifier.Verify(t.Context(), func(int) {}, func(replica.Drift) error { return nil })
	if err != nil || found.Drifted[replica.Extra] != ghosts {
		t.Errorf("compared: %+v, %v; want %d extra", found, err, ghosts)
	}
	if n := a.asked.Load(); n > ghosts+lists {
		t.Errorf("%d requests of a comparison for %d ghosts, want one for each", n, ghosts)
	}
	a.asked.Store(0)
	mended, err := replica.NewVerifier(f.db.Replica(), o, 0).Mend(t.Context(), replica.MendOptions{TrustOwner: true})
	if err != nil || mended.Removed != ghosts {
		t.Errorf("mended: %+v, %v; want %d removed", mended, err, ghosts)
	}
	if n := a.asked.Load(); n > ghosts+lists {
		t.Errorf("%d requests of a mending for %d ghosts, want one for each", n, ghosts)
	}
}

// TestATicketThatAPublicAPIDoesNotHaveCostsNoList, but each time two requests: for
// it, and for one that the API has, which tells that it is still that. Case 11.4.
func TestATicketThatAPublicAPIDoesNotHaveCostsNoList(t *testing.T) {
	t.Parallel()
	const ghosts, others = 20, 8 // other requests, however many ghosts there are
	f := newTickets(t)
	o, a, _ := at(t, nodeAPI)
	writes := []replica.Write{{From: event.None, Row: replica.Row{ID: "b", Version: 5, Title: "t", Price: 1, OrderID: "o"}}}
	for i := range ghosts {
		writes = append(writes, replica.Write{From: event.None, Row: replica.Row{ID: fmt.Sprintf("%024x", i), Title: "forged"}})
	}
	if _, err := f.db.Replica().Write(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	verifier := replica.NewVerifier(f.db.Replica(), o, time.Millisecond)
	found, err := verifier.Verify(t.Context(), func(int) {}, func(replica.Drift) error { return nil })
	if err != nil || found.Drifted[replica.Extra] != ghosts || found.Drifts() != ghosts+1 { // a is missing
		t.Errorf("compared: %+v, %v; want %d extra, 1 missing", found, err, ghosts)
	}
	if n := a.asked.Load(); n > 3*2*ghosts+others || a.listing.Load() > 2 {
		t.Errorf("%d requests for %d ghosts that are asked for three times, %d of them lists; want two each time, and a list for the comparison and one for what the address serves",
			n, ghosts, a.listing.Load())
	}
	a.role.Store(refuseAll)
	if _, err := o.Snapshot(t.Context(), writes[1].Row.ID); err == nil || errors.Is(err, replica.ErrNotFound) {
		t.Errorf("snapshot through a refusal: %v, want an error that says nothing of the ticket", err)
	}
	a.role.Store(opsPort) // the Node service was replaced by ours
	wantVersion(t, o, "a", 3)
}

// Case 9.11: a public API is recognized once, and looked at again.
func TestAPublicAPIIsRecognizedOnceAndLookedAtAgain(t *testing.T) {
	t.Parallel()
	o, a, pass := at(t, nodeAPI)
	for range 20 {
		wantVersion(t, o, "a", 4)
		wantVersion(t, o, "b", 5)
	}
	if n := a.asked.Load(); n > 45 || a.listing.Load() != 1 {
		t.Errorf("%d requests for 40 snapshots, %d of them lists; want 40 and one look", n, a.listing.Load())
	}
	rows, err := onSale(t, o)
	if err != nil || len(rows) != 1 || rows[0].ID != "a" {
		t.Errorf("on sale: %v, %v; want a", rows, err)
	}
	a.role.Store(opsPort) // the Node service was replaced by ours
	pass(examineEvery + time.Second)
	wantVersion(t, o, "a", 3)
	if _, err := o.Page(t.Context(), "", 10); err != nil {
		t.Errorf("page of what is an ops port now: %v", err)
	}
	a.role.Store(nodeAPI) // and back
	wantVersion(t, o, "b", 5)
}

// What is neither is said in words.
func TestAnAddressThatIsNoOwnerIsSaidSo(t *testing.T) {
	t.Parallel()
	o, _, _ := at(t, refuseAll)
	for _, ask := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := o.Snapshot(ctx, "a"); return err },
		func(ctx context.Context) error { _, err := o.Ranges(ctx, "", 10, 10); return err },
		func(ctx context.Context) error { _, err := o.Orders().Page(ctx, "", 10); return err },
	} {
		if err := ask(t.Context()); err == nil || !strings.Contains(err.Error(), "CANONICAL_URL") {
			t.Errorf("error %v, want one that names CANONICAL_URL", err)
		}
	}
}

// TestAnOwnerThatDoesNotAnswerAsOneIsSaidInWords: nobody is there, somebody else is,
// or it says why not. Case 11.13.
func TestAnOwnerThatDoesNotAnswerAsOneIsSaidInWords(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	nobody, err := NewOwner(gone.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := at(t, ingress)
	starting, _, _ := at(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = respond(w, http.StatusServiceUnavailable, errorBody("The process is starting"))
	})
	for _, tt := range []struct {
		owner *Owner
		want  string
	}{
		{nobody, "compare replica: digests: the owner does not answer at " + gone.URL + ": does it run, and is that its address (CANONICAL_URL)? dial tcp"},
		{other, "answered 404 Not Found, and not as an owner does: what stands between, or is CANONICAL_URL the address of another service?"},
		{starting, "answered 503 Service Unavailable: The process is starting"},
	} {
		_, err := replica.NewVerifier(nil, tt.owner, 0).Verify(t.Context(), func(int) {}, func(replica.Drift) error { return nil })
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "Get ") {
			t.Errorf("the comparison says %v, want %q", err, tt.want)
		}
	}
}

// TestAnOwnerIsAskedWithTheToken, on its ops port and nowhere else. Case 11.9.
func TestAnOwnerIsAskedWithTheToken(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	f.create(t, "u1")
	_, ops := newOps(t, func(o *OpsOptions) {
		o.Address, o.Token, o.Tickets = "0.0.0.0:9464", "secret", f.db.Tickets()
	})
	srv := httptest.NewServer(ops)
	defer srv.Close()
	for token, fails := range map[string]bool{"secret": false, "other": true, "": true} {
		o, err := NewOwner(srv.URL, token)
		if err != nil {
			t.Fatal(err)
		}
		page, err := o.Page(t.Context(), "", 10)
		if fails != (err != nil) || !fails && len(page) != 1 || fails && !strings.Contains(err.Error(), "OPS_TOKEN") {
			t.Errorf("with the token %q: %d tickets, %v", token, len(page), err)
		}
	}

	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") && r.Header.Get("Authorization") != "" {
			t.Errorf("%s is sent the token", r.URL.Path)
		}
		f.door.ServeHTTP(w, r)
	}))
	defer api.Close()
	o, err := NewOwner(api.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := onSale(t, o); err != nil || len(rows) != 1 {
		t.Errorf("by the public API: %d tickets, %v", len(rows), err)
	}
}

// TestAnOwnerUnderAnotherNameSaysWhatToDo. Case 11.9.
func TestAnOwnerUnderAnotherNameSaysWhatToDo(t *testing.T) {
	t.Parallel()
	_, ops := newOps(t, func(o *OpsOptions) { o.Address, o.Token = ":9464", "secret" })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "tickets-ops:9464"
		ops.ServeHTTP(w, r)
	}))
	defer server.Close()
	owner, err := NewOwner(server.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Snapshot(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "OPS_HOSTS") {
		t.Errorf("asked by a name that is not known: %v, want OPS_HOSTS named", err)
	}
}

// unreadableTickets are tickets of which none can be read.
type unreadableTickets struct{ CanonicalTickets }

func (unreadableTickets) Ticket(context.Context, string) (ticket.Ticket, error) {
	return ticket.Ticket{}, fmt.Errorf("%w: price is no number", ticket.ErrUnreadable)
}

// Case 10.7: an owner that cannot read one record does not fail.
func TestAnOwnerSaysWhatItCannotRead(t *testing.T) {
	t.Parallel()
	_, h := newOps(t, func(o *OpsOptions) { o.Tickets = unreadableTickets{o.Tickets} })
	server := httptest.NewServer(h)
	defer server.Close()
	o, err := NewOwner(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Snapshot(t.Context(), "a"); !errors.Is(err, replica.ErrUnreadable) {
		t.Errorf("snapshot: %v, want ErrUnreadable", err)
	}
}
