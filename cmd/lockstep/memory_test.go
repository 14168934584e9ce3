package main

import (
	"errors"
	"math"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestTheMemoryLimitComesFromTheContainer. Case 11.3.
func TestTheMemoryLimitComesFromTheContainer(t *testing.T) {
	fails := func() (uint64, error) { return 0, errors.New("no such file") }
	for name, tt := range map[string]struct {
		explicit string // GOMEMLIMIT, as the runtime read it at start
		cgroup   memlimit.Provider
		want     string
		source   string
	}{
		"a container's":     {cgroup: memlimit.Limit(256 << 20), want: "179MiB", source: "70 % of the 256 MiB of the cgroup"},
		"no limit":          {cgroup: func() (uint64, error) { return 0, memlimit.ErrNoLimit }, want: "none", source: "no limit of a cgroup"},
		"no cgroup":         {cgroup: fails, want: "none", source: "no cgroup can be read: no such file"},
		"an explicit one":   {explicit: "100MiB", cgroup: memlimit.Limit(256 << 20), want: "100MiB", source: "environment"},
		"explicitly no one": {explicit: "off", cgroup: memlimit.Limit(256 << 20), want: "none", source: "environment"},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, "GOMEMLIMIT", tt.explicit)
			if tt.explicit == "100MiB" {
				before := debug.SetMemoryLimit(100 << 20)
				t.Cleanup(func() { debug.SetMemoryLimit(before) })
			}
			if got := memoryInForce(tt.cgroup); got.String() != tt.want || got.source != tt.source {
				t.Errorf("limit %s from %q, want %s from %q", got, got.source, tt.want, tt.source)
			}
		})
	}
}

// TestTheMemoryLimitIsShown: by config and by doctor, which warns of too little.
// Case 11.3.
func TestTheMemoryLimitIsShown(t *testing.T) {
	before := debug.SetMemoryLimit(100 << 20)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	t.Setenv("GOMEMLIMIT", "100MiB")
	out, errs, code := output(t, "config", "tickets")
	if code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), "GOMEMLIMIT 100MiB environment") {
		t.Errorf("config: exit %d\n%s%s", code, out, errs)
	}
	if _, err := new(doctorCmd).lookAtMemory(t.Context()); err == nil || !strings.Contains(err.Error(), "GOMEMLIMIT is 100MiB (environment)") {
		t.Errorf("doctor finds %v, want a warning of 100 MiB", err)
	}
	debug.SetMemoryLimit(math.MaxInt64)
	if found, err := new(doctorCmd).lookAtMemory(t.Context()); err != nil || !strings.Contains(found, "not limited") {
		t.Errorf("doctor finds %q, %v", found, err)
	}
}
