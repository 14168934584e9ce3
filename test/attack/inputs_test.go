package attack

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// bodies wants the status for each body.
func bodies(status int, all ...string) func(*testing.T, *pair) {
	return func(t *testing.T, p *pair) {
		for _, body := range all {
			p.wants(t, status, p.post(session("ann"), body))
		}
	}
}

func titled(value string) string { return `{"title":` + value + `,"price":1}` }
func priced(value string) string { return `{"title":"t","price":` + value + `}` }

// zeros is a gzip body of so many spaces and a ticket.
func zipped(spaces int) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(draft + strings.Repeat(" ", spaces))) // a buffer takes all
	_ = w.Close()
	return b.String()
}

func inputs() []attack {
	return []attack{
		{23, "ids 123, %00, one that nobody has", "", func(t *testing.T, p *pair) {
			for _, id := range []string{"123", "%00", nobody(), "%ff%fe", strings.Repeat("9", 5000)} {
				status := http.StatusBadRequest
				if len(id) == 24 {
					status = http.StatusNotFound
				}
				p.wants(t, status, p.get("/api/tickets/"+id))
				p.wants(t, status, p.put(session("ann"), id, draft))
				p.wants(t, status, call{http.MethodGet, "http://" + p.orders + "/api/orders/" + id, "", []string{"Cookie", session("ann")}})
			}
		}},
		{24, "an operator as an id", "", func(t *testing.T, p *pair) {
			p.create(t, session("ann"))
			p.wants(t, http.StatusBadRequest, p.get("/api/tickets/"+url.PathEscape(`{"$gt":""}`)))
			for _, id := range []string{`{"$gt":""}`, `["a"]`, `{}`} {
				c := p.order(session("bob"), "")
				c.body = `{"ticketId":` + id + `}`
				p.wants(t, http.StatusBadRequest, c)
			}
		}},
		{25, "titles of every type (those that are no text, or empty, are refused)", "300 runes and spaces are titles of Node's services", both(
			bodies(http.StatusBadRequest, titled(`{"$gt":""}`), titled(`["a"]`), titled(`null`), titled(`""`), `{"price":1}`),
			bodies(http.StatusCreated, titled(`"`+strings.Repeat("ü", 300)+`"`)))},
		{26, "prices that are none", `"10", 10.999 and 1e15 are prices of Node's services`, both(
			bodies(http.StatusBadRequest, priced("-1"), priced("0"), priced("NaN"), priced("1e400"), priced("null"), priced(`"x"`), priced("[1]"), priced(`{"$gt":0}`), priced(`"NaN"`), priced(`"Infinity"`)),
			bodies(http.StatusCreated, priced(`"10"`), priced("10.999"), priced("1e15")))},
		{27, "duplicate keys, trailing JSON, null, BOM, other case", "", bodies(http.StatusBadRequest,
			`{"title":"t","price":1,"price":2}`, draft+draft, draft+"x", "null", "\ufeff"+draft, `{"TITLE":"t","PRICE":1}`)},
		{28, "control characters in a title (invalid UTF-8 and NUL are refused)", "Node's services store escapes and overrides; they are shown escaped, or as the text that they are", both(
			bodies(http.StatusBadRequest, "{\"title\":\"\xff\",\"price\":1}", titled(`"\u0000"`), "{\"title\":\"\x1b\",\"price\":1}"),
			func(t *testing.T, p *pair) {
				made := p.wants(t, http.StatusCreated, p.post(session("ann"), titled(`"\u001b[31m \u202e"`)))
				if strings.Contains(made.body, "\x1b") {
					t.Errorf("an escape is shown as such: %q", made.body)
				}
			})},
		{29, "<script> in a title", "", func(t *testing.T, p *pair) {
			const script = `<script>alert(1)</script>`
			id := decode(t, p.wants(t, http.StatusCreated, p.post(session("ann"), titled(`"`+script+`"`)))).ID
			a := p.wants(t, http.StatusOK, p.get("/api/tickets/"+id))
			if decode(t, a).Title != script || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
				t.Errorf("%s %v", a.body, a.header)
			}
		}},
		{30, "other content types", "body-parser passes over a body of another type, and what is required is missing then", func(t *testing.T, p *pair) {
			for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
				p.wants(t, http.StatusBadRequest, p.post(session("ann"), draft, "Content-Type", "", "Content-Type", kind))
			}
			p.wants(t, http.StatusBadRequest, p.post(session("ann"), draft, "Content-Type", "", "Content-Type", "application/json; charset=utf-7"))
		}},
		{31, "gzip bodies, and a bomb", "Express inflates, so it is inflated, as far as a body may be long", func(t *testing.T, p *pair) {
			p.wants(t, http.StatusCreated, p.post(session("ann"), zipped(0), "Content-Encoding", "gzip"))
			p.wants(t, http.StatusBadRequest, p.post(session("ann"), zipped(50<<20), "Content-Encoding", "gzip"))
			p.wants(t, http.StatusBadRequest, p.post(session("ann"), draft, "Content-Encoding", "br"))
		}},
		{32, "a body that is too long", "Node's services answer 400", func(t *testing.T, p *pair) {
			p.wants(t, http.StatusBadRequest, p.post(session("ann"), titled(`"`+strings.Repeat("x", 103_000)+`"`)))
			said := wire(t, p.tickets, "POST /api/tickets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n")
			if !strings.HasPrefix(said, "HTTP/1.1 400") {
				t.Errorf("a body of 1 GB: %.100q", said)
			}
		}},
		{33, "20,000 levels deep", "", bodies(http.StatusBadRequest, titled(strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)), strings.Repeat(`{"a":`, 16_000)+"1"+strings.Repeat("}", 16_000))},
		{34, "limit and skip", "lists of Node's services have no pages, so a query is passed over", func(t *testing.T, p *pair) {
			for _, query := range []string{"limit=-1", "limit=0", "limit=1e9", "limit=abc", "skip=1e12", "%zz", "limit[$gt]=1"} {
				p.wants(t, http.StatusOK, p.get("/api/tickets?"+query))
			}
		}},
		{35, "a stale If-Match", "", func(t *testing.T, p *pair) {
			id := p.create(t, session("ann"))
			p.wants(t, http.StatusOK, p.put(session("ann"), id, draft, "If-Match", `"0"`))
			p.wants(t, http.StatusPreconditionFailed, p.put(session("ann"), id, draft, "If-Match", `"0"`))
		}},
	}
}
