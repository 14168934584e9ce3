package replica_test

import (
	"testing"

	"lockstep/event"
	"lockstep/replica"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stored, predecessor int64
		want                event.Outcome
	}{
		"first event, nothing stored":         {event.None, event.None, event.Applied},
		"first event again":                   {0, event.None, event.Duplicate},
		"first event, long overtaken":         {7, event.None, event.Duplicate},
		"next event":                          {3, 3, event.Applied},
		"event applied before":                {4, 3, event.Duplicate},
		"one version missing":                 {3, 4, event.Early},
		"many versions missing":               {3, 40, event.Early},
		"update before the creation":          {event.None, 0, event.Early},
		"a publisher that counts in hundreds": {200, 200, event.Applied},
		"timestamps":                          {1763863081630, 1763863081630, event.Applied},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := replica.Decide(tc.stored, tc.predecessor); got != tc.want {
				t.Errorf("Decide(%d, %d) = %v, want %v", tc.stored, tc.predecessor, got, tc.want)
			}
		})
	}
}
