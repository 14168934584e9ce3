package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"

	"lockstep/internal/hosts"
)

// ErrNoToken: state could be changed from other machines without a token.
var ErrNoToken = errors.New("OPS_TOKEN must be defined: the ops address is not loopback")

// open are the paths that need no token: what probes and scrapes read, which
// says nothing of any record.
var open = []string{"/healthz", "/readyz", "/metrics"}

// guarded lets calls through that carry the token, ask for one of the hosts, and
// do not come from a foreign web page. On loopback, only those that change state
// need the token, and if there is none, no call does. No browser takes an answer
// for anything but data.
func guarded(token string, allowed hosts.Allowed, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	checked := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff") // no answer is a page, or part of one
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-store")
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		free := reads && (allowed.Loopback || slices.Contains(open, r.URL.Path))
		switch {
		case !allowed.Has(r.Host):
			_ = respond(w, http.StatusMisdirectedRequest, errorBody("Unknown host: use an address, or name the host in OPS_HOSTS"))
		case !free && token != "" && !bears(r, want):
			w.Header().Set("WWW-Authenticate", "Bearer")
			_ = respond(w, http.StatusUnauthorized, errorBody("Not authorized: OPS_TOKEN is missing or another one"))
		default:
			next.ServeHTTP(w, r)
		}
	})
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = respond(w, http.StatusForbidden, errorBody("Cross-origin request"))
	}))
	return origin.Handler(checked)
}

// bears reports whether the request carries the token, in a time that does not
// tell how much of it is right.
func bears(r *http.Request, want [sha256.Size]byte) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	got := sha256.Sum256([]byte(token))
	return ok && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
