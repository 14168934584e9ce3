package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lockstep/internal/broker"
)

// TestTheEmbeddedBrokerHasAPassword: up uses it, others need it, and nobody is
// shown it. Case 11.9.
func TestTheEmbeddedBrokerHasAPassword(t *testing.T) {
	t.Parallel()
	const password = "p@ss/word: 100%"
	r := startUp(t, t.TempDir(), "--nats-password="+password)
	resp, err := http.Get(urlOf(r.opsAt) + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("not ready behind a password: %d", resp.StatusCode)
	}
	url := r.broker.URL()
	for name, opts := range map[string][]nats.Option{
		"no password": nil, "another password": {nats.UserInfo(broker.User, "other")}, "another user": {nats.UserInfo("other", password)},
	} {
		if conn, err := nats.Connect(url, opts...); err == nil {
			conn.Close()
			t.Errorf("%s: let in", name)
		} else if !strings.Contains(err.Error(), "Authorization Violation") {
			t.Errorf("%s: %v", name, err)
		}
	}
	conn, err := nats.Connect(url, nats.UserInfo(broker.User, password))
	if err != nil {
		t.Fatalf("with the password: %v", err)
	}
	conn.Close()
	if said := r.out.String(); strings.Contains(said, "p@ss") || strings.Contains(said, "p%40ss") {
		t.Errorf("the greeting shows the password:\n%s", said)
	}
	r.end()
}

// TestAddressesOfTheBrokerComeFromAFile, as secrets do. Case 11.9.
func TestAddressesOfTheBrokerComeFromAFile(t *testing.T) {
	t.Setenv("NATS_URL_FILE", secret(t, "nats://user:pass@h:4222\n"))
	t.Setenv("NATS_PASSWORD_FILE", secret(t, "of the broker\n"))
	out, errs, code := output(t, "config", "up")
	if code != 0 || strings.Contains(out, "pass@") || strings.Contains(out, "of the broker") {
		t.Fatalf("exit %d: %s\n%s", code, errs, out)
	}
	for name, want := range map[string]string{"NATS_URL": "nats://user:****@h:4222 file", "NATS_PASSWORD": "**** file"} {
		found := false
		for line := range strings.Lines(out) {
			fields := strings.Fields(line)
			found = found || fields[0] == name && strings.Join(fields[1:], " ") == want
		}
		if !found {
			t.Errorf("%s is not %q in\n%s", name, want, out)
		}
	}
}

// TestFilesOfTheBrokerAreLookedAtFirst: before a service begins, and by the
// doctor. Case 11.9.
func TestFilesOfTheBrokerAreLookedAtFirst(t *testing.T) {
	t.Parallel()
	args := []string{"--data-dir=" + t.TempDir(), "--ops-addr=127.0.0.1:0", "--nats-url=tls://x:1", "--nats-cluster-id=c", "--nats-client-id=i", "--jwt-key=k", "--nats-ca-file=/nowhere/ca.pem"}
	if code, _, err := command(t, append([]string{"tickets", "--tickets-addr=127.0.0.1:0"}, args...)...); code != exitUsage || !strings.Contains(err, "NATS_CA_FILE") || !strings.Contains(err, "/nowhere/ca.pem") {
		t.Errorf("tickets: code %d, %s", code, err)
	}
	if code, out, _ := command(t, append([]string{"doctor"}, args...)...); code != exitFailed || !strings.Contains(out, "/nowhere/ca.pem") {
		t.Errorf("doctor: code %d, %s", code, out)
	}
}
