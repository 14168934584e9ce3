package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/internal/objectid"
)

// TestHTTPAsClientsKnowIt asks a real service over real connections, row by
// row, and then looks at the bus: what was refused must not be there, what was
// accepted must be, once.
func TestHTTPAsClientsKnowIt(t *testing.T) {
	t.Parallel()
	s := newSystem(t, sqlite{})
	bus := s.observe(t)
	list := s.ticketsURL + "/api/tickets"
	ann, bob := s.cookie(t, "ann@example.com"), s.cookie(t, "bob@example.com")

	call{http.MethodGet, list, "", nil}.wants(t, http.StatusOK, "[]")
	accepted := map[string]int64{} // id to the version it must end at

	t.Run("sessions", func(t *testing.T) {
		const hs256 = `{"alg":"HS256","typ":"JWT"}`
		past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
		user := `{"id":"` + objectid.New() + `","email":"dora@example.com"}`
		for _, cookie := range []string{
			"", "session=", "session=garbage", "session=" + base64.StdEncoding.EncodeToString([]byte(`{}`)),
			"session=" + base64.StdEncoding.EncodeToString([]byte(`"jwt"`)), "other=" + strings.SplitN(ann, "=", 2)[1],
			session("session", hs256, user, "another key"),
			session("session", `{"alg":"none"}`, user, jwtKey),
			session("session", hs256, fmt.Sprintf(`{"id":"x","exp":%d}`, past), jwtKey),
			session("session", hs256, fmt.Sprintf(`{"id":"x","nbf":%d}`, future), jwtKey),
			session("session", hs256, `{"email":"dora@example.com"}`, jwtKey),
		} {
			for _, body := range []string{`{"title":"t","price":1}`, `{}`} {
				call{http.MethodPost, list, body, []string{"Cookie", cookie}}.wants(t, http.StatusUnauthorized, notAuthorized)
			}
		}
		call{http.MethodPost, list, `{"title":"t","price":1}`, []string{"Authorization", "Bearer " + ann}}.wants(t, http.StatusUnauthorized, notAuthorized)
		for _, cookie := range []string{
			session("session", hs256, user, jwtKey), session("express:sess", hs256, user, jwtKey),
			"a=b; " + ann + "; c=d", strings.TrimRight(ann, "="),
			session("session", hs256, fmt.Sprintf(`{"id":"x","exp":%d}`, future), jwtKey),
		} {
			accepted[posted(t, list, `{"title":"t","price":1}`, cookie).id()] = 0
		}
	})

	t.Run("bodies", func(t *testing.T) {
		post := func(body string, header ...string) call {
			return call{http.MethodPost, list, body, append([]string{"Cookie", ann}, header...)}
		}
		for _, price := range []string{`0`, `-10`, `"abc"`, `null`, `true`, `""`, `" 10 "`, `"0x10"`, `"Infinity"`, `{}`, `[]`} {
			post(`{"title":"t","price":`+price+`}`).wants(t, http.StatusBadRequest, badPrice)
		}
		post(`{"title":"t"}`).wants(t, http.StatusBadRequest, badPrice)
		for _, title := range []string{`""`, `null`, `[]`} {
			post(`{"price":1,"title":`+title+`}`).wants(t, http.StatusBadRequest, badTitle)
		}
		post(`{"price":1}`).wants(t, http.StatusBadRequest, badTitle)
		for _, both := range []string{`{}`, `[]`, ``} {
			post(both).wants(t, http.StatusBadRequest, badBoth)
		}
		post(`{"title":"t","price":1}`, "Content-Type", "text/plain").wants(t, http.StatusBadRequest, badBoth)
		for _, broken := range []string{`{bad`, `"str"`, `null`, `{"title":"` + strings.Repeat("x", 101<<10) + `","price":1}`} {
			post(broken).wants(t, http.StatusBadRequest, unsuitable)
			call{http.MethodPost, list, broken, nil}.wants(t, http.StatusBadRequest, unsuitable) // before the session
		}
		for _, tc := range []struct{ title, price, wantTitle, wantPrice string }{
			{`"concert"`, `20`, `"concert"`, `20`},
			{`"concert"`, `"20.50"`, `"concert"`, `20.5`},
			{`"   "`, `"1e3"`, `"   "`, `1000`},
			{`"<b>\"quoted\"</b> & 🎫 é \u2028"`, `0.001`, "", `0.001`},
			{`123`, `1e21`, `"123"`, `1e+21`},
			{`"` + strings.Repeat("x", 90<<10) + `"`, `".5"`, "", `0.5`},
		} {
			body := fmt.Sprintf(`{"title":%s,"price":%s,"userId":"u","version":7,"orderId":"o","id":"i"}`, tc.title, tc.price)
			got := posted(t, list, body, ann)
			accepted[got.id()] = 0
			if raw := `"price":` + tc.wantPrice + `,`; !strings.Contains(got.raw, raw) || got.version() != 0 || got.body["orderId"] != nil || len(got.id()) != 24 {
				t.Errorf("%.60s: %.200s", body, got.raw)
			}
			if tc.wantTitle != "" && !strings.Contains(got.raw, `"title":`+tc.wantTitle+`,`) {
				t.Errorf("%.60s: %.200s", body, got.raw)
			}
			if seen := s.ticket(t, got.id()); !cmp.Equal(seen.body, got.body) {
				t.Errorf("GET shows %.200s, POST answered %.200s", seen.raw, got.raw)
			}
			if keys := len(got.body); keys != 5 {
				t.Errorf("%d keys in %.200s, want title, price, userId, version, id", keys, got.raw)
			}
		}
	})

	t.Run("edits", func(t *testing.T) {
		id := posted(t, list, `{"title":"t","price":1}`, ann).id()
		put := func(cookie, id, body string) call {
			return call{http.MethodPut, list + "/" + id, body, []string{"Cookie", cookie}}
		}
		put("", objectid.New(), `{"title":"t","price":1}`).wants(t, http.StatusUnauthorized, notAuthorized)
		put(ann, objectid.New(), `{"title":"t","price":1}`).wants(t, http.StatusNotFound, notFound)
		put(ann, objectid.New(), `{}`).wants(t, http.StatusBadRequest, badBoth)
		put(bob, id, `{"title":"t","price":1}`).wants(t, http.StatusUnauthorized, notAuthorized)
		put(ann, id, `{"title":"","price":1}`).wants(t, http.StatusBadRequest, badTitle)
		put(ann, id, `{"title":"t","price":-10}`).wants(t, http.StatusBadRequest, badPrice)
		put(ann, id, `{"price":5}`).wants(t, http.StatusBadRequest, badTitle)
		if got := s.ticket(t, id).version(); got != 0 {
			t.Errorf("refusals moved the ticket to version %d", got)
		}
		for v := int64(1); v <= 3; v++ { // the same values every time
			put(ann, id, `{"title":"t2","price":"2.50","version":40,"userId":"u","orderId":"o"}`).wants(t, http.StatusOK, "")
			got := s.ticket(t, id)
			if got.version() != v || got.body["price"] != 2.5 || got.body["title"] != "t2" || got.body["orderId"] != nil {
				t.Errorf("after edit %d: %s", v, got.raw)
			}
		}
		accepted[id] = 3
	})

	t.Run("routes", func(t *testing.T) {
		id := posted(t, list, `{"title":"t","price":1}`, ann).id()
		accepted[id] = 0
		call{http.MethodGet, list + "/" + objectid.New(), "", nil}.wants(t, http.StatusNotFound, notFound)
		call{http.MethodGet, list + "/abc", "", nil}.wants(t, http.StatusBadRequest, unsuitable)
		call{http.MethodGet, list + "/" + strings.Repeat("z", 24), "", nil}.wants(t, http.StatusBadRequest, unsuitable)
		call{http.MethodGet, list + "/twelve-bytes", "", nil}.wants(t, http.StatusNotFound, notFound)
		for _, url := range []string{"/API/Tickets/" + strings.ToUpper(id), "/api/tickets/" + id + "/"} {
			call{http.MethodGet, s.ticketsURL + url, "", nil}.wants(t, http.StatusOK, "")
		}
		call{http.MethodHead, list + "/" + id, "", nil}.wants(t, http.StatusOK, "")
		for _, c := range []call{
			{http.MethodPatch, list + "/" + id, "{}", []string{"Cookie", ann}},
			{http.MethodDelete, list, "", []string{"Cookie", ann}},
			{http.MethodPut, list, "{}", []string{"Cookie", ann}},
			{http.MethodGet, s.ticketsURL + "/api/nothing", "", nil}, {http.MethodGet, s.ticketsURL + "/", "", nil},
		} {
			c.wants(t, http.StatusNotFound, notFound)
		}
	})

	s.wantOnTheBus(t, bus, accepted)
}
