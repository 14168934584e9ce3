package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"lockstep/event"
)

// The bodies of refusals, exactly as clients of the Node services know them.
const (
	notAuthorized = `{"errors":[{"message":"Not authorized"}]}`
	notFound      = `{"errors":[{"message":"Not found"}]}`
	unsuitable    = `{"errors":[{"message":"Something went wrong"}]}`
	badTitle      = `{"errors":[{"message":"Title is required","field":"title"}]}`
	badPrice      = `{"errors":[{"message":"Price must be greater than 0","field":"price"}]}`
	badBoth       = `{"errors":[{"message":"Title is required","field":"title"},{"message":"Price must be greater than 0","field":"price"}]}`
	reserved      = `{"errors":[{"message":"Cannot edit a reserved ticket"}]}`
)

// call is a request as it goes over the wire.
type call struct {
	method, url, body string
	header            []string // name, value, name, value, …
}

// answer sends c and returns the status, the body and the headers.
func (c call) answer(t *testing.T) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(c.header); i += 2 {
		req.Header.Set(c.header[i], c.header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// wants sends c and wants the status and, unless it is "", the body.
func (c call) wants(t *testing.T, status int, body string) {
	t.Helper()
	got, raw, header := c.answer(t)
	if got != status || body != "" && strings.TrimSpace(raw) != body {
		t.Errorf("%s %s %.60s\n got %d %.200s\nwant %d %s", c.method, c.url, c.body, got, raw, status, body)
	}
	if kind := header.Get("Content-Type"); raw != "" && kind != "application/json; charset=utf-8" {
		t.Errorf("%s %s: content type %q", c.method, c.url, kind)
	}
}

// session returns the cookie of a token with the given header and payload,
// signed with the key.
func session(name, header, payload, key string) string {
	raw := base64.RawURLEncoding.EncodeToString
	signed := raw([]byte(header)) + "." + raw([]byte(payload))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return name + "=" + base64.StdEncoding.EncodeToString([]byte(`{"jwt":"`+signed+"."+raw(mac.Sum(nil))+`"}`))
}

// posted creates a ticket and wants 201.
func posted(t *testing.T, url, body, cookie string) reply {
	t.Helper()
	status, raw, _ := call{http.MethodPost, url, body, []string{"Cookie", cookie}}.answer(t)
	if status != http.StatusCreated {
		t.Fatalf("POST %.60s = %d %.200s, want 201", body, status, raw)
	}
	return decoded(t, raw)
}

// wantOnTheBus wants each ticket's versions up to the given one, once and with
// exactly the fields of the contract, and events of nothing else, once one more
// ticket that came after all of them is there.
func (s *system) wantOnTheBus(t *testing.T, bus *observer, tickets map[string]int64) {
	t.Helper()
	tickets[s.create(t, "ann@example.com").id()] = 0
	for id, last := range tickets {
		bus.wantInOrder(t, id, last)
		for _, m := range bus.of(id) {
			keys := 5 // id, title, price, userId, version
			if m.orderID != "" {
				keys++
			}
			if got := decoded(t, m.payload); len(got.body) != keys {
				t.Errorf("%s %s has %d keys, want %d", m.subject, m.payload, len(got.body), keys)
			}
		}
	}
	for id := range bus.versions(event.TicketSubjects()...) {
		if _, ok := tickets[id]; !ok {
			t.Errorf("events of %s, which no answer told of", id)
		}
	}
}
