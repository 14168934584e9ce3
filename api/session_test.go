package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const testKey = "asdf"

func newSessions(t *testing.T) *Sessions {
	t.Helper()
	s, err := NewSessions([]string{testKey}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cookieOf returns the session cookie of a user.
func cookieOf(t *testing.T, id string) string {
	t.Helper()
	c, err := newSessions(t).Cookie(User{ID: id, Email: id + "@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// token signs any claims by any method.
func token(t *testing.T, method jwt.SigningMethod, key any, c jwt.Claims) string {
	t.Helper()
	s, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func session(token string) string {
	return base64.StdEncoding.EncodeToString([]byte(`{"jwt":"` + token + `"}`))
}

func TestWhoASessionBelongsTo(t *testing.T) {
	t.Parallel()
	key := []byte(testKey)
	now := time.Now().Unix()
	valid := token(t, jwt.SigningMethodHS256, key, jwt.MapClaims{"id": "u1", "email": "a@b", "iat": now})
	other := token(t, jwt.SigningMethodHS256, key, jwt.MapClaims{"id": "u2"})
	with := func(c jwt.MapClaims) string { return session(token(t, jwt.SigningMethodHS256, key, c)) }
	tests := []struct {
		name, cookie, want string
	}{
		{"cookie-session 1", "express:sess=" + session(valid), "u1"},
		{"cookie-session 2", "session=" + session(valid), "u1"},
		{"other cookies around it", "a=b; express:sess=" + session(valid) + "; c=d", "u1"},
		{"no space between cookies", "a=b;express:sess=" + session(valid) + ";c=d", "u1"},
		{"quoted", `express:sess="` + session(valid) + `"`, "u1"},
		{"no padding", "express:sess=" + strings.TrimRight(session(valid), "="), "u1"},
		{"url-safe base64", "express:sess=" + base64.URLEncoding.EncodeToString([]byte(`{"jwt":"`+valid+`"}`)), "u1"},
		{"a broken cookie that Node reads", "express:sess=!" + session(valid) + "=garbage", "u1"}, // case 9.10
		{"signs and a line break in base64", "express:sess=" + session(valid)[:30] + "%\t*" + session(valid)[30:], "u1"},
		{"more in the session", "express:sess=" + base64.StdEncoding.EncodeToString([]byte(`{"x":1,"jwt":"`+valid+`"}`)), "u1"},
		{"first of a duplicated name wins", "express:sess=" + session(valid) + "; express:sess=garbage", "u1"},
		{"first of a duplicated name is garbage", "express:sess=garbage; express:sess=" + session(valid), ""},
		{"two names, two users", "session=" + session(other) + "; express:sess=" + session(valid), "u1"}, // case 11.7
		{"a session that is over under one name, one under the other", "session=" + session(valid) + "; express:sess=" + with(jwt.MapClaims{"id": "u2", "exp": now - 1}), "u1"},
		{"garbage under one name, a session under the other", "express:sess=garbage; session=" + session(valid), "u1"},
		{"HS384", "express:sess=" + session(token(t, jwt.SigningMethodHS384, key, jwt.MapClaims{"id": "u1"})), ""},
		{"HS512", "express:sess=" + session(token(t, jwt.SigningMethodHS512, key, jwt.MapClaims{"id": "u1"})), ""},
		{"exp in the future", "express:sess=" + with(jwt.MapClaims{"id": "u1", "exp": now + 60}), "u1"},
		{"iat in the future", "express:sess=" + with(jwt.MapClaims{"id": "u1", "iat": now + 3600}), "u1"},

		// Case 11.7.
		{"ID instead of id", "express:sess=" + with(jwt.MapClaims{"ID": "u1"}), ""},
		{"EXP instead of exp", "express:sess=" + with(jwt.MapClaims{"id": "u1", "EXP": 1}), "u1"},
		{"blank id", "express:sess=" + with(jwt.MapClaims{"id": " \t "}), ""},
		{"NUL in the id", "express:sess=" + with(jwt.MapClaims{"id": "u1\x00"}), ""},
		{"nothing that is seen in the id", "express:sess=" + with(jwt.MapClaims{"id": "\u200b"}), ""},
		{"something that is not seen in the id", "express:sess=" + with(jwt.MapClaims{"id": "u1\ufeff"}), ""},
		{"what turns text around in the id", "express:sess=" + with(jwt.MapClaims{"id": "u\u202e1"}), ""},
		{"another space in the id", "express:sess=" + with(jwt.MapClaims{"id": "u\u00a01"}), ""},
		{"no text in the id", "express:sess=" + session(signed(`{"id":"u\ud8001"}`)), ""},
		{"bytes that are no text in the id", "express:sess=" + session(signed("{\"id\":\"u\xff1\"}")), ""},
		{"an id in letters of any kind", "express:sess=" + with(jwt.MapClaims{"id": "Ännchen 漢 🎫"}), "Ännchen 漢 🎫"},
		{"exp as a string", "express:sess=" + session(signed(`{"id":"u1","exp":"9999999999"}`)), ""},
		{"exp null", "express:sess=" + session(signed(`{"id":"u1","exp":null}`)), ""},
		{"exp far out", "express:sess=" + session(signed(`{"id":"u1","exp":1e300}`)), "u1"},
		{"exp beyond numbers", "express:sess=" + session(signed(`{"id":"u1","exp":1e999}`)), "u1"},
		{"exp far back", "express:sess=" + session(signed(`{"id":"u1","exp":-1e300}`)), ""},
		{"exp with a fraction", "express:sess=" + session(signed(fmt.Sprintf(`{"id":"u1","exp":%d.5}`, now+60))), "u1"},
		{"nbf as a string", "express:sess=" + session(signed(`{"id":"u1","nbf":"1"}`)), ""},
		{"nbf null", "express:sess=" + session(signed(`{"id":"u1","nbf":null}`)), ""},
		{"nbf far out", "express:sess=" + session(signed(`{"id":"u1","nbf":1e300}`)), ""},
		{"nbf with a fraction", "express:sess=" + session(signed(`{"id":"u1","nbf":0.5}`)), "u1"},
		{"iat as a string, which nobody reads", "express:sess=" + session(signed(`{"id":"u1","iat":"x"}`)), "u1"},
		{"exp twice", "express:sess=" + session(signed(`{"id":"u1","exp":9999999999,"exp":1}`)), ""},
		{"null for claims", "express:sess=" + session(signed(`null`)), ""},
		{"a list for claims", "express:sess=" + session(signed(`[{"id":"u1"}]`)), ""},
		{"claims that must be understood", "express:sess=" + session(critical(t)), ""},
		{"line break in the signature", "express:sess=" + session(valid[:len(valid)-4]+`\n`+valid[len(valid)-4:]), ""},
		{"unused bits in the signature", "express:sess=" + session(valid[:len(valid)-1]+unusedBit(valid)), ""},
		{"padded signature", "express:sess=" + session(valid+"="), ""},

		{"none", "", ""},
		{"another name", "sess=" + session(valid), ""},
		{"encoded padding", "express:sess=" + strings.TrimRight(session(valid), "=") + "%3D", ""},
		{"not base64", "express:sess=!!!", ""},
		{"not JSON", "express:sess=" + base64.StdEncoding.EncodeToString([]byte("hello")), ""},
		{"no jwt", "express:sess=" + base64.StdEncoding.EncodeToString([]byte(`{"JWT":"`+valid+`"}`)), ""},
		{"jwt is no string", "express:sess=" + base64.StdEncoding.EncodeToString([]byte(`{"jwt":{"a":1}}`)), ""},
		{"null", "express:sess=" + base64.StdEncoding.EncodeToString([]byte(`null`)), ""},
		{"wrong key", "express:sess=" + session(token(t, jwt.SigningMethodHS256, []byte("other"), jwt.MapClaims{"id": "u1"})), ""},
		{"alg none", "express:sess=" + session(token(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"id": "u1"})), ""},
		{"signature stripped", "express:sess=" + session(valid[:strings.LastIndex(valid, ".")+1]), ""},
		{"exp in the past", "express:sess=" + with(jwt.MapClaims{"id": "u1", "exp": now - 1}), ""},
		{"exp 0", "express:sess=" + with(jwt.MapClaims{"id": "u1", "exp": 0}), ""},
		{"exp is no number", "express:sess=" + with(jwt.MapClaims{"id": "u1", "exp": "tomorrow"}), ""},
		{"nbf in the future", "express:sess=" + with(jwt.MapClaims{"id": "u1", "nbf": now + 60}), ""},
		{"no id", "express:sess=" + with(jwt.MapClaims{"email": "a@b"}), ""},
		{"empty id", "express:sess=" + with(jwt.MapClaims{"id": ""}), ""},
		{"id is an object", "express:sess=" + with(jwt.MapClaims{"id": map[string]int{"$ne": 1}}), ""},
		{"too long", "express:sess=" + with(jwt.MapClaims{"id": "u1", "x": strings.Repeat("x", maxToken)}), ""},
		{"nothing but dots", "express:sess=" + session(strings.Repeat(".", 10_000)), ""},
	}
	s := newSessions(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			if tt.cookie != "" {
				r.Header.Set("Cookie", tt.cookie)
			}
			r.Header.Set("Authorization", "Bearer "+valid) // ignored
			got, err := s.user(r)
			if got != tt.want {
				t.Errorf("user = %q, want %q", got, tt.want)
			}
			if (err == nil) != (tt.want != "") {
				t.Errorf("error = %v", err)
			}
		})
	}
}

// TestTheFirstOfTwoCookieHeadersCounts. Case 11.7.
func TestTheFirstOfTwoCookieHeadersCounts(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header["Cookie"] = []string{"x=y", cookieOf(t, "u1"), cookieOf(t, "u2")}
	if got, err := newSessions(t).user(r); got != "u1" || err != nil {
		t.Errorf("user = %q, %v; want the first one", got, err)
	}
}

// signed returns a token of claims as they are written.
func signed(claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, []byte(testKey))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// critical returns a token whose header names something to be understood.
func critical(t *testing.T) string {
	t.Helper()
	made := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"id": "u1"})
	made.Header["crit"] = []string{"exp"}
	s, err := made.SignedString([]byte(testKey))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// unusedBit returns the last letter of a token with a bit set that a lenient
// decoder does not look at.
func unusedBit(token string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(letters[strings.IndexByte(letters, token[len(token)-1])+1])
}

// TestAKeyIsReplacedWhileBothAreAbout: the first key signs, each verifies.
// Case 11.7.
func TestAKeyIsReplacedWhileBothAreAbout(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	both, err := NewSessions([]string{"new key", testKey}, reg, nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err := NewSessions([]string{"new key"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := both.Cookie(User{ID: "u2"})
	if err != nil {
		t.Fatal(err)
	}
	user := func(s *Sessions, cookie string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Cookie", cookie)
		id, _ := s.user(r) // "" with an error
		return id
	}
	if got := user(both, cookieOf(t, "u1")) + user(both, made) + user(after, made) + user(after, cookieOf(t, "u1")); got != "u1u2u2" {
		t.Errorf("users %q, want both keys to verify and the first one to sign", got)
	}
	user(both, "express:sess=x")
	user(both, "express:sess="+session(token(t, jwt.SigningMethodHS256, []byte("other"), jwt.MapClaims{"id": "u1"})))
	user(both, "")
	want := `# HELP lockstep_sessions_total Requests that bore a session, by what became of it.
# TYPE lockstep_sessions_total counter
lockstep_sessions_total{outcome="expired"} 0
lockstep_sessions_total{outcome="nobody"} 0
lockstep_sessions_total{outcome="ok"} 0
lockstep_sessions_total{outcome="ok_without_expiry"} 2
lockstep_sessions_total{outcome="signature"} 1
lockstep_sessions_total{outcome="unreadable"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestOwnCookiesAreAccepted(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookieOf(t, "u7"))
	if got, err := newSessions(t).user(r); got != "u7" || err != nil {
		t.Errorf("user = %q, %v; want u7", got, err)
	}
}

func TestNobodyGetsNoCookie(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", " ", "\u200b", "a\x00"} {
		if c, err := newSessions(t).Cookie(User{ID: id}); err == nil {
			t.Errorf("%q got %s", id, c)
		}
	}
}

func TestAnEmptyKeyIsRefused(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{nil, {""}, {"key", ""}} {
		if _, err := NewSessions(keys, nil, nil); err == nil {
			t.Errorf("sessions with the keys %q, want an error", keys)
		}
	}
}

func FuzzCookie(f *testing.F) {
	f.Add(`express:sess="` + session("a.b.c") + `"; x=y`)
	f.Add("session=e30=; express:sess=")
	f.Add(`express:sess="`)
	s, err := NewSessions([]string{testKey}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{line}
		if id, err := s.user(r); err == nil {
			t.Errorf("%q made a session of %q without the key", line, id)
		}
	})
}
