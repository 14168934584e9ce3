package main

import (
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// everyFlag calls f with each flag of each command.
func everyFlag(t *testing.T, f func(command string, flag *kong.Flag)) {
	t.Helper()
	var c cli
	var shown bool
	parser, err := newParser(&c, streams{out: io.Discard, err: io.Discard}, &shown, malformed{})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Leaves(true) {
		for _, group := range command.AllFlags(true) {
			for _, flag := range group {
				f(command.Path(), flag)
			}
		}
	}
}

// TestEveryFlagHasBounds: a flag that is put in without them fails here. Case
// 10.15.
func TestEveryFlagHasBounds(t *testing.T) {
	t.Parallel()
	seen := 0
	everyFlag(t, func(command string, f *kong.Flag) {
		seen++
		switch f.Target.Kind() {
		case reflect.Bool:
		case reflect.Int, reflect.Int64:
			for _, tag := range []string{"min", "max"} {
				if _, err := numberOf(f.Target.Type(), f.Tag.Get(tag)); err != nil {
					t.Errorf("%s --%s has no %s: %v", command, f.Name, tag, err)
				}
			}
		case reflect.String:
			if forms[f.Tag.Get("form")].fits == nil && !f.Tag.Has("oneof") {
				t.Errorf("%s --%s has neither a form nor oneof", command, f.Name)
			}
		default:
			t.Errorf("%s --%s: bounds of a %s are not looked at", command, f.Name, f.Target.Type())
		}
		if f.Tag.Has("enum") {
			t.Errorf("%s --%s: kong stops at the first value outside an enum; say oneof", command, f.Name)
		}
	})
	if seen < 50 {
		t.Fatalf("saw %d flags, want all", seen)
	}
}

func TestDefaultsAreWithinBounds(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"up", "tickets", "orders", "broker", "doctor", "demo", "outbox list", "replica quarantine list"} {
		var c cli
		parsed, err := parse(&c, strings.Fields(command), streams{out: io.Discard, err: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		if len(parsed.wrong) > 0 {
			t.Errorf("%s: %s", command, parsed.wrong)
		}
	}
}

// TestWhatIsOutOfBoundsIsNamed, all at once and before anything begins, with
// what is missing beside it. Case 10.15.
func TestWhatIsOutOfBoundsIsNamed(t *testing.T) {
	for _, name := range cleared {
		t.Setenv(name, "")
	}
	t.Setenv("ORDER_WINDOW", "-5m")
	t.Setenv("HOLD_FOR", "soon")
	t.Setenv("MAX_IN_FLIGHT", "0")
	t.Setenv("NATS_MONITOR_URL", "http://user:pass@:1")
	code, _, err := command(t, "orders", "--ack-wait=1500ms", "--nats-cluster-id=a b", "--nats-url=ftp://user:secret@x:1", "--orders-addr=3000",
		"--log-level=loud", "--version-step=0", "--mongo-uri=mongodb://root:pa/ss@h1:27017/orders", "--nats-client-id=pod")
	want := []string{
		`ACK_WAIT must be a duration from 1s to 10m in steps of 1s, not "1.5s"`,
		`HOLD_FOR must be a duration from 1s to 24h, not "soon"`,
		`JWT_KEY must be defined`,
		`LOG_LEVEL must be one of debug, info, warn, error, not "loud"`,
		`MAX_IN_FLIGHT must be a whole number from 1 to 100000, not "0"`,
		`MONGO_URI must be mongodb://host:port/database or mongodb+srv://…; in a user or password, / is written %2F, : %3A, @ %40 and % %25, not "mongodb://****@h1:27017/orders"`,
		`NATS_CLUSTER_ID must be 1 to 100 letters, digits, _ or -, not "a b"`,
		`NATS_MONITOR_URL must be http://host:port or https://host, not "http://****@:1"`,
		`NATS_URL must be nats://host:port, http://host:port or several with commas, not "ftp://****@x:1"`,
		`ORDERS_ADDR must be host:port with a port from 0 to 65535, not "3000"`,
		`ORDER_WINDOW must be a duration from 1s to 720h, not "-5m0s"`,
		`VERSION_STEP must be a whole number from 1 to 1000000000, not "0"`,
	}
	got := strings.Split(strings.TrimSpace(err), "\n")
	sorted := cmp.Transformer("sorted", func(s []string) map[string]bool {
		set := map[string]bool{}
		for _, one := range s {
			set[one] = true
		}
		return set
	})
	if diff := cmp.Diff(want, got, sorted); code != exitUsage || diff != "" {
		t.Errorf("code %d, complaints (-want +got):\n%s", code, diff)
	}
}

// TestWhatTheCommandLineSaysCounts, not what the environment does, and it is shown
// as it was given. Case 10.15.
func TestWhatTheCommandLineSaysCounts(t *testing.T) {
	for _, name := range cleared {
		t.Setenv(name, "")
	}
	t.Setenv("MAX_IN_FLIGHT", "many")
	for value, want := range map[string]string{"5": "", "few": `"few"`, "0": `"0"`, "99999999999999999999": `"99999999999999999999"`} {
		code, _, errs := command(t, "config", "up", "--max-in-flight="+value)
		if want == "" && code != 0 || want != "" && !strings.Contains(errs, "MAX_IN_FLIGHT must be a whole number from 1 to 100000, not "+want) {
			t.Errorf("%s: code %d, %s", value, code, errs)
		}
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	good := map[string][]string{
		"address":  {":3000", "127.0.0.1:0", "[::1]:9464", "localhost:65535"},
		"url":      {"http://tickets:9464", "https://example.com", "http://[::1]:1/path"},
		"webhook":  {"https://hooks.example.com/services/T0/B0/x"},
		"nats-url": {"nats://a:4222", "http://nats-srv:4222", "a:4222", "nats://u:p@a:1, nats://b:2", "tls://a"},
		"mongo-uri": {
			"mongodb://h", "mongodb://h1:1,h2:2/db?replicaSet=rs0", "mongodb+srv://u:p%2Fq@c.example.net/db", "mongodb://u@h/db",
			"mongodb://h/db?authMechanismProperties=AWS_SESSION_TOKEN:a/b@c",
		},
		"cluster":  {"ticketing", "a_b-C9"},
		"networks": {"10.0.0.7", "10.1.0.0/16, fd00::/8,::1"},
		"names":    {"tickets-ops", "ops.example.com, Other_1"},
		"token":    {"abc+/=~!"},
		"text":     {"a b", "é"},
	}
	bad := map[string][]string{
		"address":   {"3000", "host", ":65536", ":-1", "a:b:1", ":http"},
		"url":       {"tickets:9464", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://%zz"},
		"webhook":   {"hooks/x"},
		"nats-url":  {"ftp://x:1", "nats://", "nats://a:1,,nats://b:2", ":4222", "nats://a:b"},
		"mongo-uri": {"h:27017", "http://h", "mongodb://", "mongodb:///db", "mongodb://u:p/q@h/db", "mongodb://u:p@q@h", "mongodb://u:p:q@h", "mongodb://u:p%@h"},
		"cluster":   {"a b", "a.b", "a*", strings.Repeat("a", 101)},
		"networks":  {"ingress", "10.0.0.0/33", "10.0.0.1,", "fe80::1%eth0"},
		"names":     {"a:1", "a,,b", "http://a", "a b", "[::1]"},
		"token":     {"a b", "é", "a\n"},
		"text":      {"a\nb", "a\x00", strings.Repeat("a", 1001)},
	}
	for name, f := range forms {
		if len(good[name]) == 0 || len(bad[name]) == 0 {
			t.Errorf("the form %s is not tried here", name)
		}
		for _, text := range good[name] {
			if !f.fits(text) {
				t.Errorf("%s: %q is refused", name, text)
			}
		}
		for _, text := range bad[name] {
			if f.fits(text) {
				t.Errorf("%s: %q is accepted", name, text)
			}
		}
	}
}
