package api

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxBody is the largest body in bytes: the default of Express's json().
const maxBody = 100 << 10

// maxDrained is how many bytes of a body that is too large are read and thrown
// away.
const maxDrained = 8 << 20

// errBody: the body cannot be read as Express reads it.
var errBody = errors.New("unreadable body")

// body is what a request says. Keys are exact. It is empty for requests whose
// body is no JSON object.
type body map[string]json.RawMessage

// field returns the value of key; a missing one is undefined.
func (b body) field(key string) value { return value(b[key]) }

// readBody reads the body as Express's json() does: other content types are
// left alone, an empty body says nothing, an array says nothing about fields,
// and everything else that is no object is an error. Unlike there, so is a byte
// order mark, and a key that an object has twice: who reads the first one and
// who reads the last one would see two different requests.
//
// What it takes is counted by m.
func readBody(r *http.Request, m *meter) (body, error) {
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // a malformed type is not JSON
	if kind != "application/json" || r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if c, sent := params["charset"]; sent && !strings.EqualFold(c, "utf-8") {
		return nil, errBody
	}
	if r.ContentLength > maxBody {
		drain(r)
		return nil, errBody
	}
	plain, err := inflate(r.Body, strings.Join(r.Header.Values("Content-Encoding"), ","), m)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(metered{plain, m}, maxBody+1))
	if err != nil {
		return nil, errors.Join(errBody, err)
	}
	if len(data) > maxBody {
		drain(r)
		return nil, errBody
	}
	return parseBody(data)
}

// inflate returns the body without its encoding, of those that Express reads.
// As much is read of what was sent as of what is in it.
func inflate(sent io.Reader, encoding string, m *meter) (io.Reader, error) {
	encoding = strings.ToLower(encoding)
	if encoding == "" || encoding == "identity" {
		return sent, nil
	}
	if err := m.hold(inflating); err != nil {
		return nil, err
	}
	bounded := io.LimitReader(sent, maxBody)
	var plain io.Reader
	var err error
	switch encoding {
	case "gzip":
		plain, err = gzip.NewReader(bounded)
	case "deflate":
		plain, err = zlib.NewReader(bounded)
	default:
		err = errors.New("unknown content encoding")
	}
	if err != nil {
		return nil, errors.Join(errBody, err)
	}
	return plain, nil
}

// drain reads on for a while, so that a client which sends its whole body
// before it looks for an answer gets one instead of a broken connection. One
// that asked first is answered at once.
func drain(r *http.Request) {
	if r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrained) // whatever comes, the answer is the same
	}
}

func parseBody(data []byte) (body, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if !utf8.Valid(data) {
		return nil, errBody // what is not text would be stored as other bytes, three times as many
	}
	data = bytes.TrimLeft(data, " \t\r\n")
	tokens := json.NewDecoder(bytes.NewReader(data))
	tokens.UseNumber() // others need not fit
	if !json.Valid(data) || repeatsKey(tokens) {
		return nil, errBody
	}
	switch data[0] {
	case '[':
		return nil, nil
	case '{':
	default:
		return nil, errBody
	}
	var b body
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, errors.Join(errBody, err)
	}
	return b, nil
}

// repeatsKey reports whether an object in the next value, or in one inside it,
// has a key twice. The value is valid JSON, which is not deeper than the
// decoder's ten thousand.
func repeatsKey(d *json.Decoder) bool {
	first, _ := d.Token() // valid: no error here or below
	switch first {
	case json.Delim('{'):
		seen := map[json.Token]bool{}
		for d.More() {
			key, _ := d.Token()
			if seen[key] || repeatsKey(d) {
				return true
			}
			seen[key] = true
		}
		_, _ = d.Token()
	case json.Delim('['):
		for d.More() {
			if repeatsKey(d) {
				return true
			}
		}
		_, _ = d.Token()
	}
	return false
}
