package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// environment sets a variable, or unsets it if value is empty, for this test.
func environment(t *testing.T, name, value string) {
	t.Helper()
	t.Setenv(name, value)
	if value != "" {
		return
	}
	if err := os.Unsetenv(name); err != nil {
		t.Fatal(err)
	}
}

// TestTheWindowOfTheNodeServiceIsTaken. Case 9.9.
func TestTheWindowOfTheNodeServiceIsTaken(t *testing.T) {
	for name, tt := range map[string]struct {
		ours, node string
		args       []string
		want       string // of the line in config
	}{
		"neither":           {want: "15m0s default"},
		"Node's alone":      {node: "60", want: "1m0s EXPIRATION_WINDOW_SECONDS"},
		"ours alone":        {ours: "2m", want: "2m0s environment"},
		"both, alike":       {ours: "1m", node: "60", want: "1m0s environment"},
		"both, different":   {ours: "15m", node: "60", want: "15m0s environment; EXPIRATION_WINDOW_SECONDS says 60"},
		"a flag before all": {node: "60", args: []string{"--order-window=3m"}, want: "3m0s flag; EXPIRATION_WINDOW_SECONDS says 60"},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, "ORDER_WINDOW", tt.ours)
			environment(t, nodeWindow, tt.node)
			out, errs, code := output(t, append([]string{"config", "orders"}, tt.args...)...)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, errs)
			}
			for line := range strings.Lines(out) {
				if rest, ok := strings.CutPrefix(line, "ORDER_WINDOW "); ok && strings.Join(strings.Fields(rest), " ") != tt.want {
					t.Errorf("ORDER_WINDOW is %q, want %q", strings.Join(strings.Fields(rest), " "), tt.want)
				}
			}
		})
	}
}

func TestAWindowThatIsNoNumberIsRefused(t *testing.T) {
	environment(t, "ORDER_WINDOW", "")
	for _, v := range []string{"1m", "0", "-5", "1.5"} {
		t.Setenv(nodeWindow, v)
		if _, errs, code := output(t, "orders"); code != exitUsage || !strings.Contains(errs, nodeWindow) {
			t.Errorf("%s=%s: exit %d, %q, want it refused by name", nodeWindow, v, code, errs)
		}
	}
}

// TestWindowsThatDifferAreSaid. Case 9.9.
func TestWindowsThatDifferAreSaid(t *testing.T) {
	t.Setenv(nodeWindow, "60")
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	warnOfWindows(log, time.Minute)
	if said.Len() > 0 {
		t.Errorf("windows that agree: %s", said.String())
	}
	warnOfWindows(log, 15*time.Minute)
	if !strings.Contains(said.String(), "level=WARN") || !strings.Contains(said.String(), "EXPIRATION_WINDOW_SECONDS says 60") {
		t.Errorf("windows that differ: %q", said.String())
	}
}
