package objectid_test

import (
	"testing"

	"lockstep/internal/objectid"
)

func TestNewIsParsableAndUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 10_000 {
		id := objectid.New()
		got, ok := objectid.Parse(id)
		if !ok || got != id {
			t.Fatalf("Parse(%q) = %q, %v, want the same id and true", id, got, ok)
		}
		if seen[id] {
			t.Fatalf("id %s was made twice", id)
		}
		seen[id] = true
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in, want string
		ok       bool
	}{
		"lower case":    {"6b0300000000000000000abc", "6b0300000000000000000abc", true},
		"upper case":    {"6B0300000000000000000ABC", "6b0300000000000000000abc", true},
		"too short":     {"abc", "", false},
		"not hex":       {"zzzzzzzzzzzzzzzzzzzzzzzz", "", false},
		"twelve bytes":  {"abcdefghijkl", "", false},
		"one too long":  {"6b0300000000000000000abc0", "", false},
		"empty":         {"", "", false},
		"multibyte hex": {"6b03000000000000000000é", "", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := objectid.Parse(tc.in)
			if got != tc.want || ok != tc.ok {
				t.Errorf("Parse(%q) = %q, %v, want %q, %v", tc.in, got, ok, tc.want, tc.ok)
			}
		})
	}
}
