package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxToken bounds a token in bytes before anything of it is parsed. Those of
// the auth service have about 200.
const maxToken = 4 << 10

// Sessions signs session cookies and tells whose they are. It may be used from
// many goroutines.
type Sessions struct {
	key    []byte
	now    func() time.Time
	parser *jwt.Parser
}

// NewSessions returns sessions under key, the secret that every service
// shares. now is the clock; time.Now if nil.
func NewSessions(key string, now func() time.Time) (*Sessions, error) {
	if key == "" {
		return nil, errors.New("the key of sessions is empty")
	}
	if now == nil {
		now = time.Now
	}
	// Tokens of the auth service never expire, so exp is honoured, not asked for.
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256", "HS384", "HS512"}), jwt.WithTimeFunc(now))
	return &Sessions{key: []byte(key), now: now, parser: parser}, nil
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

// Cookie returns a session cookie of u, in the form "name=value".
func (s *Sessions) Cookie(u User) (string, error) {
	issued := jwt.RegisteredClaims{IssuedAt: jwt.NewNumericDate(s.now())}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{u.ID, u.Email, issued}).SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return formatCookie(token)
}

// user returns the id of the user whose session the request carries, or
// errUnauthorized.
func (s *Sessions) user(r *http.Request) (string, error) {
	for _, name := range cookieNames {
		cookie, ok := cookieValue(r.Header, name)
		if !ok {
			continue
		}
		if token, ok := tokenOf(cookie); ok {
			if id, ok := s.verify(token); ok {
				return id, nil
			}
		}
	}
	return "", errUnauthorized
}

func (s *Sessions) verify(token string) (string, bool) {
	if len(token) > maxToken {
		return "", false
	}
	var c claims
	if _, err := s.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return s.key, nil }); err != nil {
		return "", false
	}
	id, _ := c.UserID.(string)
	return id, id != ""
}
