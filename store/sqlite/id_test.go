package sqlite

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnIDIsSplitInEveryWayThatMakesIt(t *testing.T) {
	t.Parallel()
	tests := map[string][][]any{
		"k:12:ticket:updated": {{keyHash("k"), "k", int64(12), "ticket:updated"}},
		"a:b:3:odd":           {{keyHash("a:b"), "a:b", int64(3), "odd"}},
		"a:1:2:odd":           {{keyHash("a"), "a", int64(1), "2:odd"}, {keyHash("a:1"), "a:1", int64(2), "odd"}},
		"k:012:odd":           nil,
		"k:12":                nil,
		"nothing":             nil,
	}
	for id, want := range tests {
		if diff := cmp.Diff(want, split(id)); diff != "" {
			t.Errorf("split(%q) (-want +got):\n%s", id, diff)
		}
	}
}
