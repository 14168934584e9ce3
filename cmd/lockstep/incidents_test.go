package main

import (
	"strings"
	"testing"
)

// Case 9.12: the address and the key of notifications are secrets.
func TestWhoIsNotifiedIsNotPrinted(t *testing.T) {
	t.Setenv("NOTIFY_URL", "https://hooks.example.com/services/T00/B00/path-secret")
	t.Setenv("NOTIFY_SECRET", "key-secret")
	for _, args := range [][]string{{"config", "tickets"}, {"config", "--json", "orders"}, {"config"}} {
		out, errs, code := output(t, args...)
		if code != 0 || !strings.Contains(out, "NOTIFY_URL") || strings.Contains(out+errs, "-secret") {
			t.Errorf("%v: exit %d, %s%s", args, code, out, errs)
		}
	}
}

// Case 9.12: settings of notifications that make no sense are refused by name.
func TestSettingsOfNotificationsAreChecked(t *testing.T) {
	for name, args := range map[string][]string{
		"NOTIFY_URL":       {"up", "--notify-url=hooks/token"},
		"QUARANTINE_ALERT": {"up", "--quarantine-alert=0"},
	} {
		args = append(args, "--data-dir="+t.TempDir(), "--tickets-addr=127.0.0.1:0", "--orders-addr=127.0.0.1:0", "--ops-addr=127.0.0.1:0",
			"--nats-listen=127.0.0.1:0", "--nats-monitor=127.0.0.1:0")
		if _, errs, code := output(t, args...); code != exitUsage || !strings.Contains(errs, name) || strings.Contains(errs, "token") {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}

func TestIDsAreWordsOfACommand(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"65f0:3:ticket:updated": "65f0:3:ticket:updated",
		"a; rm -rf ~":           "'a; rm -rf ~'",
		"it's":                  `'it'\''s'`,
		"":                      "''",
	} {
		if got := word(in); got != want {
			t.Errorf("word(%q) = %s, want %s", in, got, want)
		}
	}
}
