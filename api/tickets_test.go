package api

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/ticket"
)

// ticketBody is a ticket as a client reads it.
type ticketBody struct {
	Title   string      `json:"title"`
	Price   json.Number `json:"price"`
	UserID  string      `json:"userId"`
	Version int64       `json:"version"`
	ID      string      `json:"id"`
}

func parse(t *testing.T, body string) ticketBody {
	t.Helper()
	var b ticketBody
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&b); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return b
}

func (f *fixture) create(t *testing.T, user string) string {
	t.Helper()
	got := ask(t, f.door, user, http.MethodPost, "/api/tickets", `{"title":"concert","price":20}`)
	if got.status != http.StatusCreated {
		t.Fatalf("create = %d %s", got.status, got.body)
	}
	return parse(t, got.body).ID
}

// lock lets an order take the ticket, as its event would.
func (f *fixture) lock(t *testing.T, ticketID, orderID string) {
	t.Helper()
	if _, err := f.tickets.Lock(t.Context(), event.Reserved{OrderID: orderID, TicketID: ticketID}); err != nil {
		t.Fatal(err)
	}
}

func TestPricesThatAreAccepted(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	for _, tt := range []struct{ sent, printed string }{
		{`20`, "20"}, {`0.001`, "0.001"}, {`19.99`, "19.99"}, {`1e21`, "1e+21"}, {`1e20`, "100000000000000000000"},
		{`"10"`, "10"}, {`"20.50"`, "20.5"}, {`"1e3"`, "1000"}, {`"+5"`, "5"}, {`"5."`, "5"}, {`".5"`, "0.5"},
		{`"12.00"`, "12"}, {`0.0000001`, "1e-7"}, {`"1E2"`, "100"},
	} {
		got := ask(t, f.door, "u1", http.MethodPost, "/api/tickets", `{"title":"t","price":`+tt.sent+`}`)
		if got.status != http.StatusCreated {
			t.Errorf("price %s: %d %s", tt.sent, got.status, got.body)
			continue
		}
		created := parse(t, got.body)
		if string(created.Price) != tt.printed {
			t.Errorf("price %s is answered as %s, want %s", tt.sent, created.Price, tt.printed)
		}
		again := parse(t, ask(t, f.door, "", http.MethodGet, "/api/tickets/"+created.ID, "").body)
		if string(again.Price) != tt.printed {
			t.Errorf("price %s is stored as %s, want %s", tt.sent, again.Price, tt.printed)
		}
	}
}

func TestPricesThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	for _, price := range []string{
		`0`, `-1`, `""`, `" 10 "`, `"abc"`, `"1,000"`, `"0x10"`, `"Infinity"`, `"NaN"`, `null`, `true`, `false`, `{}`, `[]`,
		`"0"`, `"-0"`, `"1e400"`, `1e400`, `"1e-400"`, `"e5"`, `".e5"`, `"."`, `"+"`, `"1_000"`, `"10\n"`, `["abc"]`,
	} {
		want(t, ask(t, f.door, "u1", http.MethodPost, "/api/tickets", `{"title":"t","price":`+price+`}`), 400, badPrice)
	}
	want(t, ask(t, f.door, "u1", http.MethodPost, "/api/tickets", `{"title":"t"}`), 400, badPrice)
	for _, price := range []string{`[10]`, `[10,20]`, `["10"]`} {
		want(t, ask(t, f.door, "u1", http.MethodPost, "/api/tickets", `{"title":"t","price":`+price+`}`), 400, somethingWrong)
	}
}

func TestTitlesThatAreAccepted(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	long := strings.Repeat("x", 99<<10)
	for _, tt := range []struct{ sent, kept string }{
		{`"   "`, "   "}, {`123`, "123"}, {`0`, "0"}, {`-0`, "0"}, {`1.50`, "1.5"}, {`1e21`, "1e+21"}, {`true`, "true"}, {`false`, "false"},
		{quote(`<b>"a" & 'b'</b>`), `<b>"a" & 'b'</b>`}, {`"日本 🎫 é"`, "日本 🎫 é"}, {quote(strings.Repeat("é", 10_000)), strings.Repeat("é", 10_000)},
		{quote(long), long},
	} {
		got := ask(t, f.door, "u1", http.MethodPost, "/api/tickets", `{"title":`+tt.sent+`,"price":1}`)
		if got.status != http.StatusCreated {
			t.Errorf("title %.40s: %d %.200s", tt.sent, got.status, got.body)
			continue
		}
		if created := parse(t, got.body); created.Title != tt.kept {
			t.Errorf("title %.40s became %.40q", tt.sent, created.Title)
		}
	}
	if got := ask(t, f.door, "u1", http.MethodPost, "/api/tickets", `{"title":"<a&b>","price":1}`); !strings.Contains(got.body, `"<a&b>"`) {
		t.Errorf("title is escaped: %s", got.body)
	}
}

func TestTitlesThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	for _, title := range []string{`""`, `null`, `[]`, `[""]`} {
		want(t, ask(t, f.door, "u1", http.MethodPost, "/api/tickets", `{"title":`+title+`,"price":1}`), 400, badTitle)
	}
	want(t, ask(t, f.door, "u1", http.MethodPost, "/api/tickets", `{"Title":"t","price":1}`), 400, badTitle)
	for _, title := range []string{`{}`, `{"$gt":""}`, `["x"]`, `"a\u0000b"`, "\"\xff\""} {
		want(t, ask(t, f.door, "u1", http.MethodPost, "/api/tickets", `{"title":`+title+`,"price":1}`), 400, somethingWrong)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	valid := `{"title":"t","price":1}`
	large := `{"title":"` + strings.Repeat("x", 100<<10) + `","price":1}`
	for _, tt := range []struct {
		name, user, body, contentType string
		status                        int
		answer                        string
	}{
		{"array", "u1", `[1]`, "application/json", 400, badBoth},
		{"empty object", "u1", `{}`, "application/json", 400, badBoth},
		{"empty", "u1", ``, "application/json", 400, badBoth},
		{"plain text", "u1", valid, "text/plain", 400, badBoth},
		{"form", "u1", "title=t&price=1", "application/x-www-form-urlencoded", 400, badBoth},
		{"no content type", "u1", valid, "", 400, badBoth},
		{"charset in capitals", "u1", `{}`, "application/json; charset=UTF-8", 400, badBoth},
		{"string", "u1", `"str"`, "application/json", 400, somethingWrong},
		{"null", "u1", `null`, "application/json", 400, somethingWrong},
		{"broken", "u1", `{bad`, "application/json", 400, somethingWrong},
		{"two objects", "u1", `{}{}`, "application/json", 400, somethingWrong},

		// Case 11.8. Attack case 27.
		{"byte order mark", "u1", "\xef\xbb\xbf" + valid, "application/json", 400, somethingWrong},
		{"byte order mark alone", "u1", "\xef\xbb\xbf", "application/json", 400, somethingWrong},
		{"a key twice", "u1", `{"title":"t","price":10,"price":0.01}`, "application/json", 400, somethingWrong},
		{"a key twice, the same value", "u1", `{"title":"t","price":1,"price":1}`, "application/json", 400, somethingWrong},
		{"a key twice, one of them escaped", "u1", `{"title":"t","price":1,"p\u0072ice":2}`, "application/json", 400, somethingWrong},
		{"a key twice, of no field", "u1", `{"title":"t","price":1,"x":1,"x":2}`, "application/json", 400, somethingWrong},
		{"a key twice, further in", "u1", `{"title":"t","price":1,"x":[1e400,{"a":{},"b":[],"a":1}]}`, "application/json", 400, somethingWrong},
		{"a key twice, in an array", "u1", `[{"a":1,"a":2}]`, "application/json", 400, somethingWrong},
		{"a key twice, nobody signed in", "", `{"title":"t","title":"t"}`, "application/json", 400, somethingWrong},
		{"one key in two objects, and as a value", "u1", `{"a":{"a":"a"},"b":["a","a",{"a":1},{"a":1}]}`, "application/json", 400, badBoth},
		{"keys of two cases", "u1", `{"title":"t","Title":"t","PRICE":1}`, "application/json", 400, badPrice},
		{"ten thousand deep", "u1", strings.Repeat(`{"a":`, 9_999) + "1" + strings.Repeat("}", 9_999), "application/json", 400, badBoth}, // attack case 33
		{"deeper", "u1", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "application/json", 400, somethingWrong},
		{"spaces", "u1", `  `, "application/json", 400, somethingWrong},
		{"unknown charset", "u1", valid, "application/json; charset=klingon", 400, somethingWrong},
		{"too large", "u1", large, "application/json", 400, somethingWrong},
		{"broken, nobody signed in", "", `{bad`, "application/json", 400, somethingWrong},
		{"string, nobody signed in", "", `"str"`, "application/json", 400, somethingWrong},
		{"too large, nobody signed in", "", large, "application/json", 400, somethingWrong},
		{"invalid, nobody signed in", "", `{}`, "application/json", 401, notAuthorized},
		{"valid, nobody signed in", "", valid, "application/json", 401, notAuthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want(t, ask(t, f.door, tt.user, http.MethodPost, "/api/tickets", tt.body, "Content-Type", tt.contentType), tt.status, tt.answer)
		})
	}
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets", ""), 200, "[]")
}

func TestFieldsOfTheServiceAreIgnored(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	extra := `{"title":"t","price":1,"userId":"other","version":7,"orderId":"o","id":"5f5f5f5f5f5f5f5f5f5f5f5f","_id":"x","__v":3,"title2":1}`
	got := ask(t, f.door, "u1", http.MethodPost, "/api/tickets", extra)
	id := parse(t, got.body).ID
	if len(id) != 24 || id == "5f5f5f5f5f5f5f5f5f5f5f5f" {
		t.Errorf("id = %q", id)
	}
	want(t, got, 201, fmt.Sprintf(`{"title":"t","price":1,"userId":"u1","version":0,"id":%q}`, id))
	want(t, ask(t, f.door, "u1", http.MethodPut, "/api/tickets/"+id, extra), 200,
		fmt.Sprintf(`{"title":"t","price":1,"userId":"u1","version":1,"id":%q}`, id))
}

func TestUpdateChecksInOrder(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	id := f.create(t, "owner")
	held := f.create(t, "owner")
	f.lock(t, held, objectid.New())
	unknown := objectid.New()
	valid, invalid := `{"title":"new","price":"30"}`, `{"title":"","price":-10}`
	for _, tt := range []struct {
		name, user, id, body string
		status               int
		answer               string
	}{
		{"broken body before all", "", unknown, `{bad`, 400, somethingWrong},
		{"not signed in before unknown", "", unknown, invalid, 401, notAuthorized},
		{"validation before unknown", "owner", unknown, invalid, 400, badBoth},
		{"unknown", "owner", unknown, valid, 404, notFound},
		{"malformed id", "owner", "abc", valid, 400, somethingWrong},
		{"validation before malformed id", "owner", "abc", invalid, 400, badBoth},
		{"24 characters that are not hexadecimal", "owner", strings.Repeat("z", 24), valid, 400, somethingWrong},
		{"12 characters are an id", "owner", "abcdefghijkl", valid, 404, notFound},
		{"only the price", "owner", id, `{"price":3}`, 400, badTitle},
		{"not the owner", "other", id, valid, 401, notAuthorized},
		{"not the owner before reserved", "other", held, valid, 401, notAuthorized},
		{"reserved", "owner", held, valid, 400, reserved},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want(t, ask(t, f.door, tt.user, http.MethodPut, "/api/tickets/"+tt.id, tt.body), tt.status, tt.answer)
		})
	}
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets/"+id, ""), 200,
		fmt.Sprintf(`{"title":"concert","price":20,"userId":"owner","version":0,"id":%q}`, id))
}

func TestEveryUpdateRaisesTheVersion(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	id := f.create(t, "owner")
	for v := range 3 {
		want(t, ask(t, f.door, "owner", http.MethodPut, "/api/tickets/"+id, `{"title":"same","price":"20.50"}`), 200,
			fmt.Sprintf(`{"title":"same","price":20.5,"userId":"owner","version":%d,"id":%q}`, v+1, id))
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	id, order := f.create(t, "owner"), objectid.New()
	f.lock(t, id, order)
	shown := fmt.Sprintf(`{"title":"concert","price":20,"userId":"owner","version":1,"orderId":%q,"id":%q}`, order, id)
	for _, path := range []string{"/api/tickets/" + id, "/api/tickets/" + strings.ToUpper(id), "/API/Tickets/" + id, "/api/tickets/" + id + "/"} {
		want(t, ask(t, f.door, "", http.MethodGet, path, ""), 200, shown)
	}
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets/abc", ""), 400, somethingWrong)
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets/"+strings.Repeat("z", 24), ""), 400, somethingWrong)
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets/abcdefghijkl", ""), 404, notFound)
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets/"+objectid.New(), ""), 404, notFound)
	if got := ask(t, f.door, "", http.MethodHead, "/api/tickets/"+id, ""); got.status != 200 {
		t.Errorf("HEAD = %d", got.status)
	}
}

func TestListHidesWhatIsHeldOrDeleted(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets", ""), 200, "[]")
	first, held, last, gone := f.create(t, "u1"), f.create(t, "u1"), f.create(t, "u1"), f.create(t, "u1")
	order := objectid.New()
	f.lock(t, held, order)
	want(t, ask(t, f.door, "u1", http.MethodDelete, "/api/tickets/"+gone, ""), 204, "")
	line := func(id string, version int) string {
		return fmt.Sprintf(`{"title":"concert","price":20,"userId":"u1","version":%d,"id":%q}`, version, id)
	}
	want(t, ask(t, f.door, "", http.MethodGet, "/Api/Tickets/", ""), 200, "["+line(first, 0)+","+line(last, 0)+"]")
	if _, err := f.tickets.Release(t.Context(), event.Cancelled{OrderID: order, Version: 1, TicketID: held}); err != nil {
		t.Fatal(err)
	}
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets", ""), 200, "["+line(first, 0)+","+line(held, 2)+","+line(last, 0)+"]")
}

func TestLongListsArrive(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	const n = 40
	for range n {
		if _, err := f.tickets.Create(t.Context(), "u1", ticket.Draft{Title: strings.Repeat("x", 10_000), Price: 1}); err != nil {
			t.Fatal(err)
		}
	}
	var list []ticketBody
	if err := json.Unmarshal([]byte(ask(t, f.door, "", http.MethodGet, "/api/tickets", "").body), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != n {
		t.Errorf("%d tickets, want %d", len(list), n)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	id, held := f.create(t, "owner"), f.create(t, "owner")
	f.lock(t, held, objectid.New())
	want(t, ask(t, f.door, "", http.MethodDelete, "/api/tickets/"+id, ""), 401, notAuthorized)
	want(t, ask(t, f.door, "other", http.MethodDelete, "/api/tickets/"+id, ""), 401, notAuthorized)
	want(t, ask(t, f.door, "owner", http.MethodDelete, "/api/tickets/"+held, ""), 400, reserved)
	want(t, ask(t, f.door, "owner", http.MethodDelete, "/api/tickets/abc", ""), 400, somethingWrong)
	want(t, ask(t, f.door, "owner", http.MethodDelete, "/api/tickets/"+objectid.New(), ""), 404, notFound)
	want(t, ask(t, f.door, "owner", http.MethodDelete, "/api/tickets/"+id, ""), 204, "")
	want(t, ask(t, f.door, "owner", http.MethodDelete, "/api/tickets/"+id, ""), 404, notFound)
	want(t, ask(t, f.door, "", http.MethodGet, "/api/tickets/"+id, ""), 404, notFound)
}

// TestNothingIsDeletedUnlessAskedFor: the Node service answers 404. Case 9.6.
func TestNothingIsDeletedUnlessAskedFor(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	id := f.create(t, "owner")
	door, err := NewTickets(f.tickets, optionsFor(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	want(t, ask(t, door, "owner", http.MethodDelete, "/api/tickets/"+id, ""), 404, notFound)
	want(t, ask(t, door, "", http.MethodDelete, "/api/tickets/"+id, ""), 404, notFound)
	want(t, ask(t, door, "", http.MethodGet, "/api/tickets/"+id, ""), 200, fmt.Sprintf(`{"title":"concert","price":20,"userId":"owner","version":0,"id":%q}`, id))
}

// TestOptionsListsMethods as Express does, to nobody in particular. Case 9.10.
func TestOptionsListsMethods(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	for path, methods := range map[string]string{
		"/api/tickets": "GET,HEAD,POST", "/API/Tickets/abc/": "GET,HEAD,PUT,DELETE",
	} {
		got := ask(t, f.door, "", http.MethodOptions, path, "")
		want(t, answered{got.status, got.body, http.Header{"Content-Type": {jsonType}}}, 200, methods)
		if got.header.Get("Allow") != methods || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: headers %v", path, got.header)
		}
	}
}

// TestCompressedBodiesAreReadAsExpressDoes, and never more of them than of
// plain ones. Case 10.16.
func TestCompressedBodiesAreReadAsExpressDoes(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	const draft = `{"title":"concert","price":20}`
	packed := func(w io.WriteCloser, b *bytes.Buffer, plain string) string {
		if _, err := io.WriteString(w, plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	gzipped := func(plain string) string {
		var b bytes.Buffer
		return packed(gzip.NewWriter(&b), &b, plain)
	}
	var b bytes.Buffer
	deflated := packed(zlib.NewWriter(&b), &b, draft)
	for _, tt := range []struct {
		name, encoding, body string
		status               int
	}{
		{"gzip", "gzip", gzipped(draft), 201},
		{"capitals", "GZIP", gzipped(draft), 201},
		{"deflate", "deflate", deflated, 201},
		{"identity", "identity", draft, 201},
		{"no gzip in it", "gzip", draft, 400},
		{"cut short", "gzip", gzipped(draft)[:20], 400},
		{"another encoding", "br", draft, 400},
		{"one upon another", "gzip, gzip", gzipped(gzipped(draft)), 400},
		{"as much as is allowed", "gzip", gzipped(draft + strings.Repeat(" ", maxBody-len(draft))), 201},
		{"more than is allowed", "gzip", gzipped(draft + strings.Repeat(" ", maxBody)), 400},
		{"a bomb", "gzip", gzipped(strings.Repeat(" ", 64<<20)), 400},
		{"nothing, again and again", "gzip", strings.Repeat(gzipped(""), 1<<15), 400},
	} {
		got := ask(t, f.door, "u1", http.MethodPost, "/api/tickets", tt.body, "Content-Encoding", tt.encoding)
		if got.status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, got.status, got.body, tt.status)
		}
	}
	twice := []string{"Content-Encoding", "identity", "Content-Encoding", "gzip"}
	want(t, ask(t, f.door, "u1", http.MethodPost, "/api/tickets", draft, twice...), 400, somethingWrong)
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	f := newTickets(t)
	id := f.create(t, "u1")
	for _, r := range [][2]string{
		{http.MethodPatch, "/api/tickets/" + id}, {http.MethodDelete, "/api/tickets"}, {http.MethodOptions, "/api"},
		{http.MethodGet, "/"}, {http.MethodGet, "/api"}, {http.MethodGet, "/api/tickets//"}, {http.MethodGet, "//api/tickets"},
		{http.MethodGet, "/api/tickets/" + id + "/x"}, {http.MethodGet, "/%61pi/tickets"}, {"BREW", "/api/tickets"},
		{http.MethodGet, "/api/./tickets"}, {http.MethodGet, "/metrics"},
	} {
		want(t, ask(t, f.door, "u1", r[0], r[1], ""), 404, notFound)
	}
	want(t, ask(t, f.door, "", http.MethodPost, "/nowhere", `{bad`), 400, somethingWrong)
}
