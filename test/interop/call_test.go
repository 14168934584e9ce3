package interop

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"

	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

const jwtKey = "a key for tests only"

// TestMain runs more tests at once than there are processors: they wait, for
// orders to expire and for processes to start.
func TestMain(m *testing.M) {
	spawn.Overlap(4)
	os.Exit(spawn.Run(func() int { return mongotest.Run(m) }))
}

// session returns the cookie that the auth service of the originals gives out.
func session(user string) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"id":%q,"email":"%s@example.com","iat":1600000000}`, user, user))
	mac := hmac.New(sha256.New, []byte(jwtKey))
	mac.Write([]byte(signed))
	signature := base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	return "express:sess=" + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"jwt":"%s.%s"}`, signed, signature))
}

// try sends a request as the user, "" for nobody. err is a failure to get an
// answer at all.
func try(ctx context.Context, user, method, url string, body any) (status int, raw []byte, err error) {
	var payload []byte
	if body != nil {
		if payload, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(payload))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if user != "" {
		req.Header.Set("Cookie", session(user))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(resp.Body)
	return resp.StatusCode, raw, err
}

// call sends a request and wants the status.
func call(t *testing.T, user, method, url string, body any, status int) document {
	t.Helper()
	got, raw, err := try(t.Context(), user, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Fatalf("%s %s = %d %s, want %d", method, url, got, raw, status)
	}
	if status == http.StatusNoContent {
		return document{}
	}
	return read[document](t, raw)
}

// untilCall sends a request until it has the status.
func untilCall(t *testing.T, user, method, url string, body any, status int) document {
	t.Helper()
	var got document
	spawn.Until(t, fmt.Sprintf("%s %s = %d", method, url, status), func() bool {
		is, raw, err := try(t.Context(), user, method, url, body)
		if err != nil || is != status {
			return false
		}
		if status != http.StatusNoContent {
			got = read[document](t, raw)
		}
		return true
	})
	return got
}

// read decodes a JSON answer.
func read[T any](t *testing.T, raw []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}
