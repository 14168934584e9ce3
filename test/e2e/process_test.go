package e2e

import (
	"os"
	"testing"
	"time"

	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// TestMain runs more tests at once than there are processors: they wait, for
// looks that come every few seconds and for processes to start.
func TestMain(m *testing.M) {
	spawn.Overlap(8)
	os.Exit(spawn.Run(func() int { return mongotest.Run(m) }))
}

// process is one running lockstep, or a former one.
type process struct{ spawn.Service }

func (p *process) start(t *testing.T)              { t.Helper(); p.Start(t) }
func (p *process) kill(t *testing.T)               { t.Helper(); p.Kill() }
func (p *process) stop(t *testing.T) time.Duration { t.Helper(); return p.Stop(t) }

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	spawn.Until(t, what, holds)
}

func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	spawn.Within(t, limit, what, holds)
}

func pause(t *testing.T, d time.Duration) {
	t.Helper()
	spawn.Pause(t, d)
}
