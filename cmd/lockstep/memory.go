package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// memoryShare is how much of a container's memory the Go runtime is to keep
	// below. SQLite's pages and the binary itself lie beside it, some 70 MB.
	memoryShare = 0.7

	// enoughMemory is what a service lives in whatever the bus brings; see
	// docs/performance.md.
	enoughMemory = 160 << 20
)

// memoryLimit is what the Go runtime keeps its memory below: it collects more
// often the nearer it comes. It fails no allocation.
type memoryLimit struct {
	bytes  int64  // 0 if there is none
	source string // who says so
}

func (m memoryLimit) String() string {
	if m.bytes == 0 {
		return "none"
	}
	return fmt.Sprintf("%dMiB", m.bytes>>20)
}

// memoryInForce returns the limit that GOMEMLIMIT, or otherwise the memory of
// the cgroup, asks for.
func memoryInForce(cgroup memlimit.Provider) memoryLimit {
	if os.Getenv("GOMEMLIMIT") != "" { // the runtime has read it, and ends a process whose value it cannot read
		if n := debug.SetMemoryLimit(-1); n != math.MaxInt64 {
			return memoryLimit{n, "environment"}
		}
		return memoryLimit{0, "environment"}
	}
	max, err := cgroup()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit):
		return memoryLimit{0, "no limit of a cgroup"}
	case err != nil:
		return memoryLimit{0, "no cgroup can be read: " + err.Error()}
	}
	return memoryLimit{int64(memoryShare * float64(max)), fmt.Sprintf("%.0f %% of the %d MiB of the cgroup", 100*memoryShare, max>>20)}
}

// limitMemory puts the limit in force and says so.
func limitMemory(log *slog.Logger) {
	m := memoryInForce(memlimit.FromCgroup)
	if m.bytes > 0 {
		debug.SetMemoryLimit(m.bytes)
	}
	log.Info("memory limit of the Go runtime", "gomemlimit", m.String(), "source", m.source)
}

func (c *doctorCmd) lookAtMemory(context.Context) (string, error) {
	m := memoryInForce(memlimit.FromCgroup)
	switch {
	case m.bytes == 0:
		return "is not limited: " + m.source, nil
	case m.bytes < enoughMemory:
		return "", warning{fmt.Errorf("GOMEMLIMIT is %s (%s): a flood of large messages may take more than %d MiB", m, m.source, enoughMemory>>20)}
	}
	return fmt.Sprintf("the Go runtime keeps below %s (%s)", m, m.source), nil
}
