package api

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

// Case 11.5: a store may give fewer than it is asked for, and a list of several
// services misses nothing of any.
func TestAListOfShortPagesMissesNothing(t *testing.T) {
	t.Parallel()
	services := [][]string{strings.Split("bdfhjlnprtvxz", ""), strings.Split("acegikmoqsuwy", ""), strings.Split("mno", "")}
	every := slices.Concat(services...)
	slices.Sort(every)
	itself := func(s string) string { return s }
	for name, compare := range map[string]func(a, b string) int{
		"rising": strings.Compare, "falling": func(a, b string) int { return cmp.Compare(b, a) },
	} {
		for short := 1; short < 7; short++ {
			for limit := 1; limit < 40; limit += 3 {
				var listed []string
				for p := (page{limit: limit}); ; {
					parts := make([]part[string], len(services))
					for i, all := range services {
						parts[i], _ = fill(p, func(p page) (part[string], error) { return pageOfAll(pageOfList(all, p, short, compare), itself), nil })
					}
					found, next := merge(parts, p, itself, compare)
					listed = append(listed, found...)
					if next == "" {
						break
					}
					p.after = next
				}
				want := slices.SortedFunc(slices.Values(every), compare)
				if want = slices.Compact(want); !slices.Equal(slices.Compact(listed), want) {
					t.Fatalf("%s, pages of %d, limit %d: listed %v, want %v", name, short, limit, listed, want)
				}
			}
		}
	}
}

// pageOfList returns up to short elements of all that p asks for.
func pageOfList(all []string, p page, short int, compare func(a, b string) int) []string {
	sorted := slices.SortedFunc(slices.Values(all), compare)
	behind := 0
	for p.after != "" && behind < len(sorted) && compare(sorted[behind], p.after) <= 0 {
		behind++
	}
	sorted = sorted[behind:]
	return sorted[:min(len(sorted), p.limit, short)]
}
