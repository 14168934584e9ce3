package attack

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"lockstep/internal/objectid"
	"lockstep/test/spawn"
)

const (
	key       = "the key of the attacked pair, 32+"
	opsToken  = "the-token-of-the-attacked-ops-port"
	clusterID = "attacked"
)

// pair is both services and their broker, as `lockstep up` runs them.
type pair struct {
	service spawn.Service

	tickets, orders, ops, nats string // addresses

	client *http.Client
}

func newPair(t *testing.T) *pair {
	t.Helper()
	a := spawn.Addresses(t, 5)
	p := &pair{tickets: a[0], orders: a[1], ops: a[2], nats: a[3], client: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	p.service = spawn.Service{Name: "up", Args: []string{"up"}, Ready: "http://" + p.ops + "/readyz", Env: []string{
		"TICKETS_ADDR=" + p.tickets, "ORDERS_ADDR=" + p.orders, "OPS_ADDR=" + p.ops, "NATS_LISTEN=" + p.nats, "NATS_MONITOR=" + a[4],
		"NATS_CLUSTER_ID=" + clusterID, "DATA_DIR=" + t.TempDir(), "JWT_KEY=" + key, "OPS_TOKEN=" + opsToken,
		"LOG_FORMAT=json", "LOG_LEVEL=debug", "QUARANTINE_ALERT=100000",
	}}
	p.service.Start(t)
	return p
}

// alive wants both services to serve their users.
func (p *pair) alive(t *testing.T) {
	t.Helper()
	id := p.create(t, session("ann"))
	p.untilReplica(t, id, 0)
	p.wants(t, http.StatusCreated, p.order(session("bob"), id))
}

// call is a request. Its header holds names and values in turns.
type call struct {
	method, url, body string
	header            []string
}

// answer is what came back; status 0 is a connection that was closed.
type answer struct {
	status int
	body   string
	header http.Header
	took   time.Duration
}

func (p *pair) send(t *testing.T, c call) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(c.header); i += 2 {
		switch name, value := c.header[i], c.header[i+1]; {
		case name == "Host":
			req.Host = value
		case value == "":
			req.Header.Del(name)
		default:
			req.Header.Add(name, value)
		}
	}
	began := time.Now()
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return answer{resp.StatusCode, string(body), resp.Header, time.Since(began)}
}

// wants sends c and wants the status, and a refusal in the form of the contract.
func (p *pair) wants(t *testing.T, status int, c call) answer {
	t.Helper()
	got := p.send(t, c)
	if got.status != status {
		t.Errorf("%s %.80s %.60s %.80q = %d %.200s, want %d", c.method, c.url, c.body, c.header, got.status, got.body, status)
	}
	byNetHTTP := got.status == http.StatusRequestHeaderFieldsTooLarge
	if got.status >= 400 && got.body != "" && !byNetHTTP && !strings.HasPrefix(got.body, `{"errors":[{"message":"`) {
		t.Errorf("%s %.80s: the refusal is %.200s", c.method, c.url, got.body)
	}
	return got
}

func (p *pair) post(cookie, body string, header ...string) call {
	return call{http.MethodPost, "http://" + p.tickets + "/api/tickets", body, append([]string{"Cookie", cookie}, header...)}
}

func (p *pair) put(cookie, id, body string, header ...string) call {
	return call{http.MethodPut, "http://" + p.tickets + "/api/tickets/" + id, body, append([]string{"Cookie", cookie}, header...)}
}

func (p *pair) get(path string, header ...string) call {
	return call{http.MethodGet, "http://" + p.tickets + path, "", header}
}

func (p *pair) order(cookie, ticketID string) call {
	return call{http.MethodPost, "http://" + p.orders + "/api/orders", `{"ticketId":"` + ticketID + `"}`, []string{"Cookie", cookie}}
}

func (p *pair) operate(method, path string, header ...string) call {
	return call{method, "http://" + p.ops + path, "", append([]string{"Authorization", "Bearer " + opsToken}, header...)}
}

// record is a ticket as its door shows it.
type record struct {
	ID      string
	Title   string
	Price   float64
	UserID  string `json:"userId"`
	Version int64
	OrderID string `json:"orderId"`
}

func (p *pair) create(t *testing.T, cookie string) string {
	t.Helper()
	return decode(t, p.wants(t, http.StatusCreated, p.post(cookie, `{"title":"t","price":1}`))).ID
}

func (p *pair) ticket(t *testing.T, id string) record {
	t.Helper()
	return decode(t, p.wants(t, http.StatusOK, p.get("/api/tickets/"+id)))
}

func decode(t *testing.T, a answer) (r record) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &r); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return r
}

// row is the ticket as the orders service has it.
func (p *pair) row(t *testing.T, id string) (record, int) {
	t.Helper()
	a := p.send(t, p.operate(http.MethodGet, "/ops/replica/tickets/"+id))
	if a.status != http.StatusOK {
		return record{}, a.status
	}
	return decode(t, a), a.status
}

func (p *pair) untilReplica(t *testing.T, id string, version int64) {
	t.Helper()
	spawn.Until(t, "the replica has "+id, func() bool {
		r, status := p.row(t, id)
		return status == http.StatusOK && r.Version == version
	})
}

// metric returns the lines of a metric that hold a text.
func (p *pair) metric(t *testing.T, name, with string) string {
	t.Helper()
	var found []string
	for line := range strings.Lines(p.wants(t, http.StatusOK, p.operate(http.MethodGet, "/metrics")).body) {
		if strings.HasPrefix(line, name) && strings.Contains(line, with) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return strings.Join(found, "\n")
}

// session is the cookie of a user whose id is the name.
func session(name string) string {
	return signed(`{"alg":"HS256","typ":"JWT"}`, `{"id":"`+name+`","email":"`+name+`@example.com"}`, key)
}

func raw(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// token is a JWT with the given header and payload, signed with the key.
func token(header, payload, with string) string {
	text := raw([]byte(header)) + "." + raw([]byte(payload))
	mac := hmac.New(sha256.New, []byte(with))
	mac.Write([]byte(text))
	return text + "." + raw(mac.Sum(nil))
}

// signed is the session cookie of such a token, wrapped is that of any.
func signed(header, payload, with string) string { return wrapped(token(header, payload, with)) }

func wrapped(token string) string {
	return "session=" + base64.StdEncoding.EncodeToString([]byte(`{"jwt":"`+token+`"}`))
}

// wire sends bytes over a connection of their own and returns what came back
// until the other side closed.
func wire(t *testing.T, address, text string) string {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(conn, strings.NewReader(text)) }() // it may be closed before the end
	var said bytes.Buffer
	_, err = io.Copy(&said, conn)
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		t.Errorf("the connection stays open after %.60q: %.200q", text, said.String())
	}
	return said.String()
}

// nobody is an id that no record has.
func nobody() string { return objectid.New() }
