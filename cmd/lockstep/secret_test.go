package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// output runs a command line and returns what it printed and its exit code.
func output(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, streams{out: &stdout, err: &stderr})
	return stdout.String(), stderr.String(), code
}

func secret(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretsComeFromFiles(t *testing.T) {
	t.Setenv("JWT_KEY", "")
	if err := os.Unsetenv("JWT_KEY"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JWT_KEY_FILE", secret(t, "from a file\n"))
	fromFile, errs, code := output(t, "token", "--user", "ann@example.com")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if out, _, _ := output(t, "config", "tickets"); !regexp.MustCompile(`JWT_KEY +\*{4} +file`).MatchString(out) || strings.Contains(out, "from a file") {
		t.Errorf("config does not name the file as the source, or shows the secret:\n%s", out)
	}
	given, _, code := output(t, "token", "--user", "ann@example.com", "--jwt-key", "from a file")
	if code != 0 || len(given) != len(fromFile) {
		t.Errorf("the key of the file is not the key without its line break:\n%s%s", fromFile, given)
	}
}

func TestSecretsOfTwoSourcesAreRefused(t *testing.T) {
	t.Setenv("JWT_KEY", "here")
	t.Setenv("JWT_KEY_FILE", secret(t, "and there"))
	if _, errs, code := output(t, "token", "--user", "ann@example.com"); code != exitUsage || !strings.Contains(errs, "JWT_KEY and JWT_KEY_FILE are both set") {
		t.Errorf("exit %d: %s, want it refused", code, errs)
	}
}

func TestSecretFileThatIsNotThere(t *testing.T) {
	t.Setenv("OPS_TOKEN_FILE", filepath.Join(t.TempDir(), "nothing"))
	if _, errs, code := output(t, "outbox", "list"); code != exitUsage || !strings.Contains(errs, "OPS_TOKEN_FILE") {
		t.Errorf("exit %d: %s, want the variable named", code, errs)
	}
}

// TestWeakSecretsAreAWarning, or with --strict the end of a start. Case 11.7.
func TestWeakSecretsAreAWarning(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"tickets", "orders"} {
		args := []string{
			service, "--" + service + "-addr=127.0.0.1:0", "--ops-addr=127.0.0.1:0", "--nats-url=nats://127.0.0.1:1", "--nats-cluster-id=c",
			"--nats-client-id=i", "--jwt-key=asdf", "--ops-token=short", "--data-dir=" + t.TempDir(),
		}
		if _, errs, code := output(t, append(args, "--strict")...); code != exitUsage || !strings.Contains(errs, "JWT_KEY is a sample") || !strings.Contains(errs, "OPS_TOKEN is short") {
			t.Errorf("%s --strict: exit %d: %s", service, code, errs)
		}
	}
	var log bytes.Buffer
	weak := []string{guessable("JWT_KEY", "asdf"), guessable("OPS_TOKEN", "short")}
	if err := (strictFlag{}).judge(weak, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Error(err)
	}
	for _, why := range weak {
		if !strings.Contains(log.String(), why) {
			t.Errorf("the log does not say %q: %s", why, log.String())
		}
	}
}

// TestKeysOfSessionsComeFromAFile, the first one signs. Case 11.7.
func TestKeysOfSessionsComeFromAFile(t *testing.T) {
	t.Setenv("JWT_KEY", "")
	both := secret(t, "new key\n\nold key\n")
	if keys, err := (jwtFlags{JWTKeysFile: both}).keys(); err != nil || len(keys) != 2 || keys[0] != "new key" || keys[1] != "old key" {
		t.Errorf("keys %q, %v", keys, err)
	}
	if out, errs, code := output(t, "token", "--user=ann@example.com", "--jwt-keys-file="+both); code != 0 || out == "" {
		t.Errorf("exit %d: %s", code, errs)
	}
	for want, args := range map[string][]string{
		"both set":     {"--jwt-key=here", "--jwt-keys-file=" + both},
		"no such":      {"--jwt-keys-file=" + both + "-gone"},
		"holds no key": {"--jwt-keys-file=" + secret(t, "\n\n")},
	} {
		_, errs, code := output(t, append([]string{"token", "--user=ann@example.com"}, args...)...)
		if code != exitUsage || !strings.Contains(errs, want) || !strings.Contains(errs, "JWT_KEYS_FILE") {
			t.Errorf("%s: exit %d: %s", want, code, errs)
		}
	}
}
