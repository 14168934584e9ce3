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
// says nothing of any record. One slash more is no matter.
var open = []string{"/healthz", "/readyz", "/metrics"}

// guarded lets calls through that carry the token, ask for one of the hosts, and
// do not come from a foreign web page. On loopback, only those that change state
// need the token, and if there is none, no call does. No browser takes an answer
// for anything but data.
func guarded(token string, allowed hosts.Allowed, next http.Handler) http.Handler {
	want, origin := sha256.Sum256([]byte(token)), http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff") // no answer is a page, or part of one
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-store")
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		free := reads && (allowed.Loopback || slices.Contains(open, strings.TrimSuffix(r.URL.Path, "/")))
		switch {
		case !allowed.Has(r.Host):
			_ = respond(w, http.StatusMisdirectedRequest, errorBody("Unknown host: use an address, or name the host in OPS_HOSTS"))
		case origin.Check(r) != nil:
			_ = respond(w, http.StatusForbidden, errorBody("Cross-origin request"))
		case !free && token != "" && !bears(r, want):
			w.Header().Set("WWW-Authenticate", "Bearer")
			_ = respond(w, http.StatusUnauthorized, errorBody("Not authorized: OPS_TOKEN is missing or another one"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// bears reports whether the request carries the token, and no other one, in a
// time that does not tell how much of it is right.
func bears(r *http.Request, want [sha256.Size]byte) bool {
	said := r.Header.Values("Authorization")
	scheme, token, _ := strings.Cut(strings.Join(said, ","), " ")
	got := sha256.Sum256([]byte(token))
	return len(said) == 1 && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
