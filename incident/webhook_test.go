package incident_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/incident"
)

// Case 9.12: signed with a secret, readable in a chat, and checked as the
// reference says.
func TestANotificationIsSignedAndReadable(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	opened := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	i := incident.Incident{ID: "id", Cause: incident.BrokerLoss, Service: "orders", Subject: "ticket:created", Summary: "do something", Opened: opened, Count: 2}
	if err := r.webhook(t).Notify(t.Context(), []incident.Incident{i}); err != nil {
		t.Fatal(err)
	}
	p := r.posts()[0]
	at := p.header.Get("Lockstep-Timestamp")
	mac := hmac.New(sha256.New, []byte("the key"))
	mac.Write([]byte(at + "." + string(p.raw)))
	if got, want := p.header.Get("Lockstep-Signature"), "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	if seconds, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
		t.Errorf("timestamp %q, want now in seconds", at)
	}
	if p.Text != "[orders] broker_loss: do something" || p.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("%s: %s", p.header.Get("Content-Type"), p.raw)
	}
	if got := p.Incidents[0]; got.Status != "open" || got.Subject != "ticket:created" || got.OpenedAt != "2026-03-04T12:00:00Z" {
		t.Errorf("told %+v", got)
	}
	i.Told, i.Closed, i.Ending = incident.ToldOpen, opened.Add(time.Hour), "compared"
	if err := r.webhook(t).Notify(t.Context(), []incident.Incident{i}); err != nil {
		t.Fatal(err)
	}
	if p := r.posts()[1]; p.Text != "[orders] over: broker_loss ticket:created: compared" || p.Incidents[0].ClosedAt == "" {
		t.Errorf("told %s", p.raw)
	}
}

// Case 9.12: the address of a chat's webhook is a secret.
func TestErrorsDoNotTellTheAddress(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	w := r.webhook(t)
	r.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	errs := []error{w.Notify(t.Context(), []incident.Incident{{}})}
	r.Close()
	errs = append(errs, w.Notify(t.Context(), []incident.Incident{{}}))
	for _, address := range []string{"", "hook?token=secret", "ftp://hook/token", "https:///hook/token", "http://a b/token"} {
		_, err := incident.NewWebhook(address, "")
		errs = append(errs, err)
	}
	for _, err := range errs {
		if err == nil || strings.Contains(err.Error(), "token") || strings.Contains(err.Error(), "hook") {
			t.Errorf("error %v, want one without the path", err)
		}
	}
}
