package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// maxToken bounds a token in bytes before anything of it is parsed. Those of
// the auth service have about 200.
const maxToken = 4 << 10

// Sessions signs session cookies and tells whose they are. It may be used from
// many goroutines.
type Sessions struct {
	keys   jwt.VerificationKeySet // the first one signs
	now    func() time.Time
	parser *jwt.Parser
	seen   *prometheus.CounterVec
}

// What became of the session of a request. A request without one is not
// counted: most need none.
const (
	sessionOK         = "ok"
	sessionForEver    = "ok_without_expiry"
	sessionUnreadable = "unreadable" // no token, or one that is not written as tokens are
	sessionForeign    = "signature"  // signed by another key, or not by HS256
	sessionOver       = "expired"    // or not valid yet
	sessionNobodys    = "nobody"     // no id of a user in it
)

// NewSessions returns sessions under the keys, secrets that every service
// shares: the first one signs, all of them verify, so that one can be replaced
// by another while both are about. Metrics are registered with reg; nil
// registers none. now is the clock; time.Now if nil.
func NewSessions(keys []string, reg prometheus.Registerer, now func() time.Time) (*Sessions, error) {
	if len(keys) == 0 || slices.Contains(keys, "") {
		return nil, errors.New("a key of sessions is empty")
	}
	if now == nil {
		now = time.Now
	}
	// Tokens of the auth service never expire, so exp is honoured, not asked for.
	s := &Sessions{now: now, parser: jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(now), jwt.WithStrictDecoding())}
	for _, key := range keys {
		s.keys.Keys = append(s.keys.Keys, []byte(key))
	}
	s.seen = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lockstep_sessions_total", Help: "Requests that bore a session, by what became of it.",
	}, []string{"outcome"})
	for _, outcome := range []string{sessionOK, sessionForEver, sessionUnreadable, sessionForeign, sessionOver, sessionNobodys} {
		s.seen.WithLabelValues(outcome)
	}
	if reg != nil {
		reg.MustRegister(s.seen)
	}
	return s, nil
}

// User is who a session belongs to.
type User struct {
	ID    string
	Email string
}

// claims are what a token of the auth service says.
type claims struct {
	UserID any    `json:"id"` // a string, or the token is nobody's
	Email  string `json:"email,omitempty"`
	jwt.RegisteredClaims
}

// UnmarshalJSON reads the claims that decide, under exactly their names: "ID"
// is no id.
func (c *claims) UnmarshalJSON(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	if raw, said := all["id"]; said {
		if err := json.Unmarshal(raw, &c.UserID); err != nil {
			return err
		}
	}
	for name, into := range map[string]**jwt.NumericDate{"exp": &c.ExpiresAt, "nbf": &c.NotBefore} {
		if raw, said := all[name]; said {
			seconds, ok := secondsIn(raw)
			if !ok {
				return fmt.Errorf("%s is no number", name)
			}
			*into = jwt.NewNumericDate(time.Unix(seconds, 0))
		}
	}
	return nil
}

// secondsIn reads a time as the auth service's library does: a number, also one
// that is no time any more, which is then as far away as a time can be. What is
// due within a second is due at its end.
func secondsIn(raw json.RawMessage) (seconds int64, ok bool) {
	const never = 1 << 40 // some 35,000 years
	v := value(raw)
	return int64(math.Ceil(min(max(v.number(), -never), never))), v.kind() == jsNumber
}

// Cookie returns a session cookie of u, in the form "name=value", or an error if
// u is somebody that no session is accepted of.
func (s *Sessions) Cookie(u User) (string, error) {
	if !namesSomebody(u.ID) {
		return "", fmt.Errorf("the id of a user must be characters that are seen, not %q", u.ID)
	}
	issued := jwt.RegisteredClaims{IssuedAt: jwt.NewNumericDate(s.now())}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{u.ID, u.Email, issued}).SignedString(s.keys.Keys[0])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return formatCookie(token)
}

// user returns the id of the user whose session the request carries, or
// errUnauthorized.
func (s *Sessions) user(r *http.Request) (string, error) {
	id, outcome := s.find(r)
	if outcome != "" {
		s.seen.WithLabelValues(outcome).Inc()
	}
	if id == "" {
		return "", errUnauthorized
	}
	return id, nil
}

// find returns the id of the user whose session the request carries, "" for
// nobody's, and what became of it; "" if there is none. Of two cookies of one
// name the first one counts; of the two names, the first one that is a session.
func (s *Sessions) find(r *http.Request) (id, outcome string) {
	for _, name := range cookieNames {
		cookie, ok := cookieValue(r.Header, name)
		if !ok {
			continue
		}
		outcome = sessionUnreadable
		if token, ok := tokenOf(cookie); ok {
			if id, outcome = s.verify(token); id != "" {
				return id, outcome
			}
		}
	}
	return "", outcome
}

// canonical is how a token is written: decoders of base64 pass over line breaks.
var canonical = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// verify returns whose token it is, "" for nobody's, and what became of it.
func (s *Sessions) verify(token string) (id, outcome string) {
	if len(token) > maxToken || !canonical.MatchString(token) {
		return "", sessionUnreadable
	}
	var c claims
	_, err := s.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical { // it must be understood, and nothing is
			return nil, jwt.ErrTokenUnverifiable
		}
		return s.keys, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return "", sessionForeign
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet):
		return "", sessionOver
	case err != nil:
		return "", sessionUnreadable
	}
	id, _ = c.UserID.(string)
	switch {
	case !namesSomebody(id):
		return "", sessionNobodys
	case c.ExpiresAt == nil:
		return id, sessionForEver
	}
	return id, sessionOK
}

// namesSomebody reports whether an id can be told from others by who reads it:
// it is not blank, and has nothing in it that is not seen, or that stands for
// what was no text.
func namesSomebody(id string) bool {
	unseen := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	return strings.TrimSpace(id) != "" && !strings.ContainsFunc(id, unseen)
}
