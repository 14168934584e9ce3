package attack

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"lockstep/test/spawn"
)

func TestMain(m *testing.M) { os.Exit(spawn.Run(m.Run)) }

// attack is one case. By its contract, if that is not "", the answer differs
// from the review's, for that reason; try holds it to the answer it has.
type attack struct {
	number   int
	what     string
	contract string
	try      func(t *testing.T, p *pair)
}

// attacks are all of them, by their numbers.
var attacks = sync.OnceValue(func() []attack {
	return slices.Concat(sessions(), rights(), inputs(), connections(), operators(), events())
})

// Case 11, Show: each attack is a test by its number that passes, or says why
// the contract forbids the answer.
func TestAttacks(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	lines := make([]string, len(attacks()))
	t.Run("case", func(t *testing.T) {
		for i, a := range attacks() {
			if a.number != i+1 {
				t.Fatalf("attack %d stands in place %d", a.number, i+1)
			}
			t.Run(fmt.Sprint(a.number), func(t *testing.T) {
				t.Parallel()
				defer func() { lines[i] = line(t, a) }()
				a.try(t, p)
			})
		}
	})
	if len(lines) != 52 {
		t.Errorf("%d attacks, want 52", len(lines))
	}
	p.alive(t)
	fmt.Println(strings.Join(lines, "\n"))
}

func line(t *testing.T, a attack) string {
	switch {
	case t.Failed():
		return fmt.Sprintf("%2d  FAIL         %s", a.number, a.what)
	case a.contract != "":
		return fmt.Sprintf("%2d  by contract  %s: %s", a.number, a.what, a.contract)
	}
	return fmt.Sprintf("%2d  pass         %s", a.number, a.what)
}

// The page says of each answer that the contract gives why that is.
func TestTheContractsAnswersAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attacks() {
		if documented := strings.Contains(string(page), fmt.Sprintf("\n| %d | ", a.number)); documented != (a.contract != "") {
			t.Errorf("attack %d: in docs/guarantees.md: %t, by contract: %t", a.number, documented, a.contract != "")
		}
	}
}
