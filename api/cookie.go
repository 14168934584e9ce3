package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// cookieNames are the names a session cookie may have: cookie-session 1.x and
// 2.x write different ones. http.Request.Cookie does not find the first, its
// colon is outside the syntax of RFC 6265.
var cookieNames = []string{"express:sess", "session"}

// cookieValue returns the value of the first cookie called name, without
// surrounding quotes.
func cookieValue(h http.Header, name string) (string, bool) {
	for _, line := range h["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			v, ok := strings.CutPrefix(strings.TrimLeft(pair, " "), name+"=")
			if !ok {
				continue
			}
			v = strings.TrimRight(v, " ")
			if len(v) > 1 && v[0] == '"' {
				v = v[1 : len(v)-1]
			}
			return v, true
		}
	}
	return "", false
}

// decodeBase64 reads base64 as Node does: in either alphabet, with or without
// padding; what follows the padding is not read, and what is no letter of the
// alphabet is passed over.
func decodeBase64(s string) []byte {
	s, _, _ = strings.Cut(s, "=")
	letters := strings.Map(func(r rune) rune {
		switch {
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '+', r == '/':
			return r
		}
		return -1
	}, s)
	if len(letters)%4 == 1 { // six bits that make no byte
		letters = letters[:len(letters)-1]
	}
	data, _ := base64.RawStdEncoding.DecodeString(letters) // nothing is left that it refuses
	return data
}

// tokenOf returns the token inside a session cookie: base64 of {"jwt": token}.
func tokenOf(cookie string) (string, bool) {
	data := decodeBase64(cookie)
	var session map[string]json.RawMessage
	if err := json.Unmarshal(data, &session); err != nil {
		return "", false
	}
	var token string
	if err := json.Unmarshal(session["jwt"], &token); err != nil {
		return "", false
	}
	return token, token != ""
}

// formatCookie returns the session cookie that carries token, ready for a
// Cookie header.
func formatCookie(token string) (string, error) {
	data, err := json.Marshal(struct {
		JWT string `json:"jwt"`
	}{token})
	if err != nil {
		return "", err
	}
	return cookieNames[0] + "=" + base64.StdEncoding.EncodeToString(data), nil
}
