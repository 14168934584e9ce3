package listeners

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// model is a set of small numbers.
func model(t *rapid.T, name string) (map[uint64]bool, Spans) {
	list := rapid.SliceOfN(rapid.Uint64Range(1, 40), 0, 40).Draw(t, name)
	set := map[uint64]bool{}
	for _, n := range list {
		set[n] = true
	}
	return set, spansOf(list)
}

func TestSpansAreSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, as := model(t, "a")
		b, bs := model(t, "b")
		union, rest, both := map[uint64]bool{}, map[uint64]bool{}, map[uint64]bool{}
		maps.Copy(union, a)
		maps.Copy(union, b)
		for n := range a {
			if b[n] {
				both[n] = true
			} else {
				rest[n] = true
			}
		}
		for name, c := range map[string]struct {
			got  Spans
			want map[uint64]bool
		}{"a": {as, a}, "union": {as.with(bs), union}, "difference": {as.without(bs), rest}, "intersection": {as.and(bs), both}} {
			if diff := cmp.Diff(spansOf(slices.Collect(maps.Keys(c.want))), c.got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if c.got.count() != uint64(len(c.want)) {
				t.Errorf("%s counts %d, want %d", name, c.got.count(), len(c.want))
			}
			back, err := ParseSpans(c.got.String())
			if diff := cmp.Diff(c.got, back); err != nil || diff != "" {
				t.Errorf("%s read back: %v\n%s", name, err, diff)
			}
		}
	})
}

func TestSpansReachToTheHighestSequence(t *testing.T) {
	t.Parallel()
	top := ^uint64(0)
	all := Spans{{1, top}}
	if got := all.without(Spans{{5, top}}); !cmp.Equal(got, Spans{{1, 4}}) {
		t.Errorf("without the top: %v", got)
	}
	if got := (Spans{{1, 4}}).with(Spans{{5, top}}).with(Spans{{9, top}}); !cmp.Equal(got, all) {
		t.Errorf("with the top: %v", got)
	}
	for _, text := range []string{"x", "5-", "7-5", "-1"} {
		if _, err := ParseSpans(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
