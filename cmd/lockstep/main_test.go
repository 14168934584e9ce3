package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// buffer collects what a command prints; it may be read meanwhile.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// command runs lockstep with args and returns what came of it.
func command(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e buffer
	code = run(t.Context(), args, streams{out: &o, err: &e})
	return code, o.String(), e.String()
}

// cleared are the settings that a test's environment must not bring along.
var cleared = []string{"MONGO_URI", "DATA_DIR", "NATS_URL", "NATS_CLUSTER_ID", "NATS_CLIENT_ID", "JWT_KEY", "OPS_TOKEN", "OPS_ADDR"}

func TestEveryMissingNameIsReportedAtOnce(t *testing.T) {
	for _, name := range cleared {
		t.Setenv(name, "")
	}
	needed := []string{
		"MONGO_URI must be defined, or DATA_DIR must be defined", "NATS_URL must be defined", "NATS_CLUSTER_ID must be defined",
		"NATS_CLIENT_ID must be defined", "JWT_KEY must be defined",
	}
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"tickets", "--ops-addr=127.0.0.1:0"}, needed},
		{[]string{"orders", "--ops-addr=127.0.0.1:0"}, needed},
		{[]string{"tickets", "--ops-addr=:9464"}, append(needed[:5:5], "OPS_TOKEN must be defined, because OPS_ADDR=:9464 is open to other machines; without both, the operator's routes are served to this machine only")},
		{[]string{"tickets", "--ops-addr=127.0.0.1:0", "--data-dir=x", "--nats-url=nats://x:1", "--nats-cluster-id=c", "--jwt-key=k"}, []string{"NATS_CLIENT_ID must be defined"}},
		{[]string{"up", "--ops-addr=0.0.0.0:3002"}, []string{"OPS_TOKEN must be defined, because OPS_ADDR=0.0.0.0:3002 is open to other machines; without both, the operator's routes are served to this machine only"}},
		{[]string{"config", "--check", "tickets"}, needed},
		{[]string{"broker"}, []string{"DATA_DIR must be defined", "NATS_CLUSTER_ID must be defined"}},
		{[]string{"token", "--user=a@b"}, []string{"JWT_KEY must be defined"}},
	} {
		code, out, err := command(t, tt.args...)
		if code != exitUsage || out != "" {
			t.Errorf("%v: code %d, output %q", tt.args, code, out)
		}
		if diff := cmp.Diff(strings.Split(strings.TrimSpace(err), "\n"), tt.want); diff != "" {
			t.Errorf("%v: %s", tt.args, diff)
		}
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	t.Parallel()
	whole := []string{"--ops-addr=127.0.0.1:0", "--nats-cluster-id=c", "--nats-client-id=i", "--jwt-key=k", "--data-dir=" + t.TempDir()}
	for want, args := range map[string][]string{
		"tickets-addr": append(whole, "--tickets-addr=192.0.2.1:0", "--nats-url=nats://x:1"),
		"unknown flag": {"--nats-uri=x"},
	} {
		code, _, err := command(t, append([]string{"tickets"}, args...)...)
		if code != exitUsage || !strings.Contains(err, want) {
			t.Errorf("%s: code %d, %q", want, code, err)
		}
	}
	if code, _, err := command(t); code != exitUsage || err == "" {
		t.Errorf("no command: code %d, %q", code, err)
	}
	if code, out, _ := command(t, "tickets", "--help"); code != 0 || !strings.Contains(out, "NATS_CLIENT_ID") {
		t.Errorf("help: code %d, %q", code, out)
	}
}

func TestConfigTellsValuesAndTheirSources(t *testing.T) {
	for _, name := range cleared {
		t.Setenv(name, "")
	}
	t.Setenv("JWT_KEY", "very secret")
	t.Setenv("NATS_URL", "nats://user:pass@a:4222,nats://b:4222")
	t.Setenv("MONGO_URI", "mongodb://root:pa%40ss@h1:1,h2:2/tickets?replicaSet=rs0")
	code, out, err := command(t, "config", "tickets", "--nats-cluster-id=mine", "--ack-wait", "7s")
	if code != 0 || err != "" {
		t.Fatalf("code %d, %s", code, err)
	}
	got := map[string]string{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		got[f[0]] = strings.Join(f[1:], " ")
	}
	want := map[string]string{
		"JWT_KEY": "**** environment", "NATS_CLUSTER_ID": "mine flag", "ACK_WAIT": "7s flag", "MAX_IN_FLIGHT": "1024 default",
		"MONGO_URI": "mongodb://root:****@h1:1,h2:2/tickets?replicaSet=rs0 environment", "TICKETS_ADDR": ":3000 default",
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
	for _, secret := range []string{"very secret", "pass", "pa%40ss"} {
		if strings.Contains(out, secret) {
			t.Errorf("%q is shown:\n%s", secret, out)
		}
	}
	if code, out, _ := command(t, "config", "--json"); code != 0 || !strings.Contains(out, `"name": "ORDERS_ADDR"`) {
		t.Errorf("config --json: code %d\n%s", code, out)
	}
}

func TestTokensOfOneAddressAreOneUser(t *testing.T) {
	t.Parallel()
	code, out, _ := command(t, "token", "--user=ann@example.com", "--jwt-key=k")
	if code != 0 || !strings.HasPrefix(out, "express:sess=") || strings.Count(out, "\n") != 1 {
		t.Errorf("code %d, %q", code, out)
	}
	if a, b := userID("ann@example.com"), userID("bob@example.com"); a == b || len(a) != 24 || a != userID("ann@example.com") {
		t.Errorf("ids %s and %s", a, b)
	}
}

// TestAURIThatNeverWorksIsAWrongSetting: what it leads to is not waited for. Case
// 11.13.
func TestAURIThatNeverWorksIsAWrongSetting(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"mongodb://127.0.0.1:1/?replicaSet=rs0":          "names no database",
		"mongodb://127.0.0.1:99999/tickets":              "the URI cannot be used",
		"mongodb://127.0.0.1/tickets?tlsCAFile=/nowhere": "/nowhere",
	} {
		code, _, errs := command(t, "tickets", "--tickets-addr=127.0.0.1:0", "--ops-addr=127.0.0.1:0", "--nats-url=nats://127.0.0.1:1",
			"--nats-cluster-id=c", "--nats-client-id=i", "--jwt-key=k", "--mongo-uri="+uri)
		if code != exitUsage || !strings.Contains(errs, "MONGO_URI: ") || !strings.Contains(errs, want) {
			t.Errorf("%s: code %d, %s; want it refused: %s", uri, code, errs, want)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if code, out, _ := command(t, "version"); code != 0 || !strings.HasPrefix(out, "lockstep ") {
		t.Errorf("code %d, %q", code, out)
	}
}

func TestTerminalsAreNotSteeredByTitles(t *testing.T) {
	t.Parallel()
	if got := printable("a\x1b[2Jb\u009bc\nd é\u202ef"); got != "a.[2Jb.c.d é.f" {
		t.Errorf("printable = %q", got)
	}
	var b strings.Builder
	if err := printJSON(&b, []byte("{\"a\":\"\u009b2J é\u202e\U000e0041\"}")); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "{\n  \"a\": \"\\u009b2J é\\u202e\\udb40\\udc41\"\n}\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestDatabasesOfURIs(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"mongodb://h:1/orders":                           "orders",
		"mongodb://a:1,b:2/orders?replicaSet=rs0":        "orders",
		"mongodb://u:p%2Fq@h/my-db?authSource=admin":     "my-db",
		"mongodb+srv://u:p@cluster.example.net/?retry=1": "",
		"mongodb://h:1":                                  "",
	} {
		if got := databaseOf(uri); got != want {
			t.Errorf("database of %s = %q, want %q", uri, got, want)
		}
	}
}
