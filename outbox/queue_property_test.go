package outbox

import (
	"testing"

	"pgregory.net/rapid"
)

// settle runs everything without failures until nothing is left to do, and
// without the sweep: wake-ups, reads and retries must find it all.
func (w *world) settle() {
	steps := []func() bool{
		w.publish, w.confirm, w.delete, w.resolve, w.recordFailure, w.deliver,
		w.startLoad, w.read, w.loaded, w.retried,
	}
	for range 1000 {
		for _, step := range steps {
			step()
		}
		w.due()
		w.recheck()
		w.check(w.T)
		if len(w.keys()) == 0 && len(w.q.lanes) == 0 {
			return
		}
	}
	w.Fatalf("left behind: %v; lanes %v", w.stored, w.q.lanes)
}

func TestQueueKeepsOrderAndLosesNothing(t *testing.T) {
	t.Parallel()
	for range 20 {
		rapid.Check(t, playHistory)
	}
}

func playHistory(t *rapid.T) {
	w := newWorld(t)
	actions := map[string]func(*rapid.T){"": w.check}
	for name, step := range map[string]func() bool{
		"commit": w.commit, "commit2": w.commit, "deliver": w.deliver, "deliver2": w.deliver, "hint": w.hint, "rescan": w.rescan,
		"publish": w.publish, "publish2": w.publish, "confirm": w.confirm, "confirm2": w.confirm, "delete": w.delete,
		"unreachable": w.unreachable, "unconfirmed": w.unconfirmed, "reject": w.reject, "resolve": w.resolve,
		"recordFailure": w.recordFailure, "startLoad": w.startLoad, "read": w.read, "loaded": w.loaded,
		"due": w.due, "retried": w.retried, "recheck": w.recheck, "discard": w.discard, "release": w.release, "sweep": w.sweep,
	} {
		actions[name] = func(t *rapid.T) {
			if !step() {
				t.Skip() // the step, which is not possible now: rapid draws another
			}
		}
	}
	t.Repeat(actions)
	w.settle()
}
