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

// TestAnEmptySecretFileIsRefused: without a word it would mean no token and no
// password. Case 11.9.
func TestAnEmptySecretFileIsRefused(t *testing.T) {
	for _, name := range []string{"OPS_TOKEN", "NATS_PASSWORD", "NATS_URL", "JWT_KEY"} {
		t.Run(name, func(t *testing.T) {
			path := secret(t, "\r\n")
			t.Setenv(name+"_FILE", path)
			if _, errs, code := output(t, "config", "up"); code != exitUsage || !strings.Contains(errs, name+"_FILE: "+path+" is empty") {
				t.Errorf("exit %d: %s, want the file named", code, errs)
			}
		})
	}
}

// TestAFileThatIsNoSecretIsRefused, at once and however large it is: a device, a
// database that was named by mistake. Case 11.9.
func TestAFileThatIsNoSecretIsRefused(t *testing.T) {
	large, marked := secret(t, strings.Repeat("a", maxSecret+1)), secret(t, "\ufeffthe key of the services")
	for _, tt := range []struct{ name, path, want string }{
		{"JWT_KEY_FILE", large, "is it another file?"},
		{"JWT_KEYS_FILE", large, "is it another file?"},
		{"JWT_KEY_FILE", marked, "begins with a byte order mark"},
		{"JWT_KEYS_FILE", marked, "line 1 is not a key alone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(tt.name, tt.path)
			_, errs, code := output(t, "token", "--user", "ann@example.com")
			if code != exitUsage || !strings.Contains(errs, tt.name) || !strings.Contains(errs, tt.want) {
				t.Errorf("exit %d: %s, want %s refused: %s", code, errs, tt.name, tt.want)
			}
		})
	}
	t.Setenv("MONGO_URI_FILE", "/dev/zero")
	if _, errs, code := output(t, "config", "orders"); code != exitUsage || !strings.Contains(errs, "MONGO_URI_FILE: /dev/zero has more than 65536 bytes") {
		t.Errorf("exit %d: %s, want the file refused", code, errs)
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
	weak := weakOf(jwtFlags{JWTKey: "asdf"}, opsFlags{OpsToken: "short"})
	if err := (strictFlag{}).judge(weak, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Error(err)
	}
	for _, why := range weak {
		if !strings.Contains(log.String(), why) {
			t.Errorf("the log does not say %q: %s", why, log.String())
		}
	}
}

// Case 11.7.
func TestWhichSecretsAreWeak(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k3Y-", 8)
	tests := map[string]struct {
		flags guessing
		want  string // of the sentence; "" if nothing is weak
	}{
		"a long key":                        {jwtFlags{JWTKey: "0123456789abcdef0123456789abcdef"}, ""},
		"a sample of many letters":          {jwtFlags{JWTKey: "your-256-bit-secret"}, "JWT_KEY is a sample"},
		"a sample in other letters":         {jwtFlags{JWTKey: "ChangeMe"}, "JWT_KEY is a sample"},
		"one letter many times":             {jwtFlags{JWTKey: strings.Repeat("a", 64)}, "JWT_KEY is short, or has few"},
		"a name":                            {opsFlags{OpsToken: "lockstep"}, "OPS_TOKEN is a name"},
		"the second key of a file":          {jwtFlags{JWTKeysFile: secret(t, "0123456789abcdef0123456789abcdef\n\nshort\n")}, "JWT_KEYS_FILE line 3 is short"},
		"a password":                        {natsFlags{NATSURL: "nats://tickets:s3cret-w0rd@h:4222"}, ""},
		"no password":                       {natsFlags{NATSURL: "nats://h:4222,h:4223"}, ""},
		"a password that is a service":      {natsFlags{NATSURL: "nats://a:fine-one@h:1,nats://t:orders@h:2"}, "the password in NATS_URL is a name"},
		"a password that is the user":       {storeFlags{MongoURI: "mongodb://hannah:hannah@h/orders"}, "the password in MONGO_URI is a name"},
		"a password that is the cluster":    {natsFlags{NATSURL: "nats://t:production@h:4222", NATSClusterID: "production"}, "the password in NATS_URL is a name"},
		"a password too short to be hidden": {natsFlags{NATSURL: "nats://t:abcde@h:4222"}, "the password in NATS_URL is short"},
		"a password of the embedded broker": {brokerFlags{NATSPassword: "secret"}, "NATS_PASSWORD is a sample"},
		"a long password":                   {brokerFlags{NATSPassword: long}, ""},
	}
	for name, tt := range tests {
		weak := weakOf(tt.flags)
		if said := strings.Join(weak, ""); len(weak) > 1 || (said == "") != (tt.want == "") || !strings.HasPrefix(said, tt.want) {
			t.Errorf("%s: %q, want %q", name, weak, tt.want)
		}
	}
}

// TestKeysOfSessionsComeFromAFile, the first one signs. Case 11.7.
func TestKeysOfSessionsComeFromAFile(t *testing.T) {
	t.Setenv("JWT_KEY", "")
	both := secret(t, "new key\r\n\n \t\n\r\nold key")
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
		"a directory":  {"--jwt-keys-file=" + t.TempDir()},

		"JWT_KEYS_FILE line 1 is not": {"--jwt-keys-file=" + secret(t, "# of this year\nkey\n")}, // which would verify like a key
		"JWT_KEYS_FILE line 2 is not": {"--jwt-keys-file=" + secret(t, "key\nkey \n")},
		"line 3 is not a key alone":   {"--jwt-keys-file=" + secret(t, "key\nkey2\n\tkey\n")},
		"line 1 is not a key":         {"--jwt-keys-file=" + secret(t, "\ufeffkey\n")},
		"line 2 is not a key":         {"--jwt-keys-file=" + secret(t, "key\nk\x00y\n")},
		"line 1 is not a key alone":   {"--jwt-keys-file=" + secret(t, "k\xffy\n")},
	} {
		_, errs, code := output(t, append([]string{"token", "--user=ann@example.com"}, args...)...)
		if code != exitUsage || !strings.Contains(errs, want) || !strings.Contains(errs, "JWT_KEYS_FILE") {
			t.Errorf("%s: exit %d: %s", want, code, errs)
		}
	}
}
