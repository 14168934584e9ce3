package attack

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func connections() []attack {
	return []attack{
		{36, "slow headers, bodies and readers", "", slow},
		{37, "headers of 17 KiB", "", func(t *testing.T, p *pair) {
			for _, first := range []string{"", "GET /api HTTP/1.1\r\nHost: x\r\n\r\n"} { // alone, and on a connection that was used
				if said := wire(t, p.tickets, first+"GET /api/tickets HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 17<<10)+"\r\n\r\n"); !strings.Contains(said, "HTTP/1.1 431") {
					t.Errorf("%.300q", said)
				}
			}
		}},
		{38, "smuggling: two lengths, or a length and chunks", "", func(t *testing.T, p *pair) {
			for _, two := range []string{
				"Content-Length: 4\r\nTransfer-Encoding: chunked", "Content-Length: 4\r\nContent-Length: 5", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
				"Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity", "Content-Length: +4", "Content-Length : 4",
				"Content-Length: 4\r\nX: y\r\n Transfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked",
			} {
				for _, first := range []string{"", "GET /api HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"} {
					said := wire(t, p.tickets, first+"POST /api/tickets HTTP/1.1\r\nHost: x\r\n"+two+"\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
					answers := strings.Split(said, "HTTP/1.1 ")
					code, _, _ := strings.Cut(answers[len(answers)-1], " ")
					if code != "400" && code != "501" || len(answers)-1 != 1+strings.Count(first, "\r\n\r\n") {
						t.Errorf("%q behind %q: %q", two, first, said)
					}
				}
			}
		}},
		{39, "method overrides, TRACE, CONNECT", "", func(t *testing.T, p *pair) {
			id := p.create(t, session("ann"))
			for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
				c := p.put(session("ann"), id, `{"title":"v","price":3}`, header, "PUT")
				c.method = http.MethodPost
				p.wants(t, http.StatusNotFound, c)
			}
			for _, method := range []string{http.MethodTrace, http.MethodConnect, "PROPFIND"} {
				if said := wire(t, p.tickets, method+" /api/tickets HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(said, "HTTP/1.1 404") && !strings.HasPrefix(said, "HTTP/1.1 405") && !strings.HasPrefix(said, "HTTP/1.1 400") {
					t.Errorf("%s: %.100q", method, said)
				}
			}
			if r := p.ticket(t, id); r.Version != 0 {
				t.Errorf("the ticket is %+v", r)
			}
		}},
		{40, "paths: //, /./, %2e%2e, 8 KiB", "", func(t *testing.T, p *pair) {
			for _, path := range []string{"//", "/./api/tickets", "/api/../api/tickets", "/%2e%2e/%2e%2e/etc/passwd", "/" + strings.Repeat("a", 8<<10), "/api/tickets/..%2f..%2fops", "/api%2ftickets"} {
				said := wire(t, p.tickets, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				if !strings.HasPrefix(said, "HTTP/1.1 404") && !strings.HasPrefix(said, "HTTP/1.1 400") {
					t.Errorf("%.40s: %.100q", path, said)
				}
			}
			if m := p.metric(t, "lockstep_http_request", "passwd"); m != "" || p.metric(t, "lockstep_http_request", `route="unmatched"`) == "" {
				t.Errorf("a path is a label: %s", m)
			}
		}},
		{41, "a foreign Host", "", func(t *testing.T, p *pair) {
			p.wants(t, http.StatusMisdirectedRequest, p.operate(http.MethodGet, "/metrics", "Host", "evil.example"))
			p.wants(t, http.StatusOK, p.operate(http.MethodGet, "/metrics", "Host", "LOCALHOST")) // case 10.16
			for _, path := range []string{"/api/tickets/", "//evil.example/..", "/api"} {
				a := p.send(t, p.get(path, "Host", "evil.example"))
				if a.header.Get("Location") != "" || strings.Contains(a.body+fmt.Sprint(a.header), "evil") {
					t.Errorf("%s: %d %s %v", path, a.status, a.body, a.header)
				}
			}
		}},
		{42, "a forged X-Forwarded-For", "", func(t *testing.T, p *pair) {
			p.wants(t, http.StatusOK, p.operate(http.MethodGet, "/ops/outbox", "X-Forwarded-For", "127.0.0.1"))
			p.wants(t, http.StatusMisdirectedRequest, p.operate(http.MethodGet, "/ops/outbox", "Host", "evil.example", "X-Forwarded-For", "127.0.0.1", "X-Forwarded-Host", "localhost"))
			if a := p.wants(t, http.StatusNotFound, p.get("/api", "X-Forwarded-For", "6.6.6.6", "X-Real-IP", "6.6.6.6")); strings.Contains(fmt.Sprint(a)+p.service.Output(), "6.6.6.6") {
				t.Error("the forged address is believed")
			}
		}},
		{43, "X-Request-Id of 1 MB or with a line break", "", func(t *testing.T, p *pair) {
			if a := p.send(t, p.get("/api", "X-Request-Id", strings.Repeat("x", 1<<20))); a.status != http.StatusRequestHeaderFieldsTooLarge && a.status != 0 {
				t.Errorf("%d %s", a.status, a.body)
			}
			said := wire(t, p.tickets, "GET /api HTTP/1.1\r\nHost: x\r\nX-Request-Id: forged-id\nX-Forged: 1\r\nConnection: close\r\n\r\n")
			if strings.Contains(said+p.service.Output(), "forged-id") {
				t.Errorf("it is reflected: %q", said)
			}
		}},
		{44, "CORS preflight from anywhere", "", func(t *testing.T, p *pair) {
			for _, url := range []string{"http://" + p.tickets + "/api/tickets", "http://" + p.orders + "/api/orders", "http://" + p.ops + "/ops/outbox"} {
				a := p.send(t, call{http.MethodOptions, url, "", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}})
				if a.header.Get("Access-Control-Allow-Origin") != "" || a.status >= 500 {
					t.Errorf("%s: %d %v", url, a.status, a.header)
				}
			}
		}},
		{45, "HTTP/2: rapid resets", "", func(t *testing.T, p *pair) {
			said := wire(t, p.tickets, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+strings.Repeat("\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08", 10_000))
			if !strings.HasPrefix(said, "HTTP/1.1 4") && !strings.HasPrefix(said, "HTTP/1.1 505") && said != "" {
				t.Errorf("HTTP/2 is spoken: %.100q", said)
			}
			upgraded := wire(t, p.tickets, "GET /api/tickets HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
			if !strings.HasPrefix(upgraded, "HTTP/1.1 200") {
				t.Errorf("an upgrade: %.100q", upgraded)
			}
		}},
	}
}

// slow opens connections that never come to an end; others are served beside
// them, and each is closed in its time: headers after 5 s.
func slow(t *testing.T, p *pair) {
	var d net.Dialer
	open := func(text string) net.Conn {
		conn, err := d.DialContext(t.Context(), "tcp", p.tickets)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // it was closed by the other side
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	var all []net.Conn
	for range 200 {
		all = append(all, open("POST /api/tickets HTTP/1.1\r\nHost: x\r\nX-Slow: "))
	}
	open("POST /api/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{") // closed after 15 s, which test/e2e's soak waits for
	for range 20 {
		if a := p.wants(t, http.StatusCreated, p.post(session("ann"), draft)); a.took > 5*time.Second {
			t.Errorf("somebody waits %v beside them", a.took)
		}
	}
	for _, conn := range all {
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatalf("a slow connection stays open: %v", err)
		}
	}
}
