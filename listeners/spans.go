package listeners

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Span is every sequence of a channel from From to To.
type Span struct{ From, To uint64 }

// Spans is a set of sequences: ascending, and no two of them touch.
type Spans []Span

// spansOf returns the set of sequences, which may come in any order and twice.
// It sorts them in place.
func spansOf(sequences []uint64) Spans {
	slices.Sort(sequences)
	var s Spans
	for _, n := range sequences {
		if last := len(s) - 1; last >= 0 && n <= s[last].To+1 {
			s[last].To = n
			continue
		}
		s = append(s, Span{n, n})
	}
	return s
}

// with returns the union of two sets.
func (s Spans) with(other Spans) Spans {
	all := slices.Concat(s, other)
	slices.SortFunc(all, func(a, b Span) int {
		if a.From < b.From {
			return -1
		}
		return 1
	})
	var union Spans
	for _, next := range all {
		if last := len(union) - 1; last >= 0 && (next.From <= union[last].To || next.From == union[last].To+1) {
			union[last].To = max(union[last].To, next.To)
			continue
		}
		union = append(union, next)
	}
	return union
}

// without returns what of s is not in other.
func (s Spans) without(other Spans) Spans {
	var rest Spans
	next := 0 // of other, the first that may reach into what is left
	for _, left := range s {
		for next < len(other) && other[next].To < left.From {
			next++
		}
		for _, o := range other[next:] {
			if o.From > left.To || left.From > left.To {
				break
			}
			if o.From > left.From {
				rest = append(rest, Span{left.From, o.From - 1})
			}
			if o.To >= left.To {
				left = Span{1, 0} // nothing is left
				break
			}
			left.From = o.To + 1
		}
		if left.From <= left.To {
			rest = append(rest, left)
		}
	}
	return rest
}

// and returns what is in both sets.
func (s Spans) and(other Spans) Spans { return s.without(s.without(other)) }

func (s Spans) has(sequence uint64) bool { return len(s.and(Spans{{sequence, sequence}})) > 0 }

func (s Spans) count() uint64 {
	var n uint64
	for _, x := range s {
		n += x.To - x.From + 1
	}
	return n
}

// String returns the set as ParseSpans reads it, such as "5-7,9".
func (s Spans) String() string {
	var b strings.Builder
	for i, x := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(x.From, 10))
		if x.To > x.From {
			b.WriteString("-" + strconv.FormatUint(x.To, 10))
		}
	}
	return b.String()
}

// ParseSpans reads what String returns.
func ParseSpans(text string) (Spans, error) {
	var s Spans
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		from, to, two := strings.Cut(part, "-")
		if !two {
			to = from
		}
		a, err := strconv.ParseUint(from, 10, 64)
		b, err2 := strconv.ParseUint(to, 10, 64)
		if err != nil || err2 != nil || a > b {
			return nil, fmt.Errorf("%q is no range of sequences", part)
		}
		s = s.with(Spans{{a, b}})
	}
	return s, nil
}
