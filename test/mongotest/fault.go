package mongotest

import (
	"os"
	"testing"
	"time"

	"lockstep/test/spawn"
)

// Fault is a way in which a primary can fail. Its functions are called in the
// order in which they stand here, Last only by who has nothing else to wait for.
type Fault struct {
	Name    string
	Inflict func(t testing.TB) // upon the primary of this moment
	Last    func(t testing.TB) // until everybody has noticed
	Heal    func(t testing.TB)
}

// EachFault runs a test for every way in which a set of three can lose its
// primary and go on. The set is healthy at the beginning of each. It takes
// minutes: LOCKSTEP_CHAOS=1, or `make chaos-mongo`.
func EachFault(t *testing.T, test func(t *testing.T, s *Set, fault Fault)) {
	t.Helper()
	if os.Getenv("LOCKSTEP_CHAOS") == "" {
		t.Skip("elections take minutes: run `make chaos-mongo`")
	}
	s := Start(t, 3)
	for _, fault := range []Fault{s.stepDown(), s.killed(), s.frozen(), s.cutOff()} {
		t.Run(fault.Name, func(t *testing.T) {
			s.Healthy(t)
			test(t, s, fault)
		})
	}
}

func (s *Set) stepDown() Fault {
	return Fault{
		Name:    "the primary steps down",
		Inflict: func(t testing.TB) { t.Helper(); s.Primary(t).StepDown(t) },
		Last:    func(testing.TB) {},
		Heal:    func(testing.TB) {},
	}
}

func (s *Set) killed() Fault {
	var m *Member
	return Fault{
		Name:    "the primary is killed with -9",
		Inflict: func(t testing.TB) { t.Helper(); m = s.Primary(t); m.Kill() },
		Last:    func(t testing.TB) { t.Helper(); s.Primary(t) },
		Heal:    func(t testing.TB) { t.Helper(); m.Restart(t) },
	}
}

func (s *Set) frozen() Fault {
	var m *Member
	return Fault{
		Name:    "the primary is frozen for 15 s",
		Inflict: func(t testing.TB) { t.Helper(); m = s.Primary(t); m.Freeze(t) },
		Last:    func(t testing.TB) { t.Helper(); spawn.Pause(t, 15*time.Second) },
		Heal:    func(t testing.TB) { t.Helper(); m.Thaw(t) },
	}
}

func (s *Set) cutOff() Fault {
	return Fault{
		Name:    "the primary is cut off from the others",
		Inflict: func(t testing.TB) { t.Helper(); s.Cut(s.Primary(t)) },
		Last: func(t testing.TB) {
			t.Helper()
			s.Primary(t)
			spawn.Pause(t, 5*time.Second) // both sides live for a while
		},
		Heal: func(testing.TB) { s.Cut() },
	}
}
