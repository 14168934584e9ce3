package attack

import (
	"net/http"
	"strings"
	"testing"
)

func operators() []attack {
	return []attack{
		{46, "POST from a foreign page, or without a token", "", func(t *testing.T, p *pair) {
			const action = "/ops/outbox/x/discard"
			p.wants(t, http.StatusForbidden, p.operate(http.MethodPost, action, "Sec-Fetch-Site", "cross-site"))
			p.wants(t, http.StatusForbidden, p.operate(http.MethodPost, action, "Sec-Fetch-Site", "same-site"))
			p.wants(t, http.StatusForbidden, p.operate(http.MethodPost, action, "Origin", "null"))
			p.wants(t, http.StatusForbidden, p.operate(http.MethodPost, action, "Origin", "https://evil.example"))
			p.wants(t, http.StatusUnauthorized, p.operate(http.MethodPost, action, "Authorization", "", "Authorization", "Bearer wrong"))
			p.wants(t, http.StatusUnauthorized, call{http.MethodPost, "http://" + p.ops + action, "", nil})
			p.wants(t, http.StatusNotFound, p.operate(http.MethodPost, action))
		}},
		{47, "GET on an action", "", func(t *testing.T, p *pair) {
			for _, action := range []string{"/ops/outbox/x/discard", "/ops/outbox/x/retry", "/ops/quarantine/x/retry", "/ops/replica/tickets/x/reset"} {
				if a := p.send(t, p.operate(http.MethodGet, action)); a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
					t.Errorf("%s: %d %s", action, a.status, a.body)
				}
			}
		}},
		{48, "DNS rebinding", "", func(t *testing.T, p *pair) {
			for _, host := range []string{"rebound.evil.example", "127.0.0.1.evil.example", "localhost.evil.example:3002"} {
				if a := p.send(t, p.operate(http.MethodGet, "/ops/outbox", "Host", host)); a.status != http.StatusMisdirectedRequest {
					t.Errorf("%s: %d", host, a.status)
				}
			}
		}},
		{49, "numbers out of bounds in a query", "", func(t *testing.T, p *pair) {
			for _, path := range []string{"/ops/outbox", "/ops/replica/quarantine", "/ops/outbox/incidents"} {
				for _, limit := range []string{"999999999", "-1", "0", "abc", "9223372036854775808"} {
					p.wants(t, http.StatusBadRequest, p.operate(http.MethodGet, path+"?limit="+limit))
				}
			}
		}},
		{50, "framing", "", func(t *testing.T, p *pair) {
			a := p.wants(t, http.StatusOK, p.operate(http.MethodGet, "/ops/outbox"))
			if !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%v", a.header)
			}
		}},
		{51, "actions in read-only mode", "there is no page and no such mode: without OPS_TOKEN nothing can be changed from another machine", func(t *testing.T, p *pair) {
			for _, action := range []string{"/ops/outbox/x/discard", "/ops/outbox/x/retry", "/ops/quarantine/x/retry"} {
				p.wants(t, http.StatusUnauthorized, call{http.MethodPost, "http://" + p.ops + action, "", nil})
			}
			if a := p.send(t, p.operate(http.MethodGet, "/")); a.status != http.StatusNotFound {
				t.Errorf("/ is %d %s", a.status, a.body)
			}
		}},
	}
}
