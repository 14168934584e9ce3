package mutants

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A mutant is one planted bug.
type mutant struct {
	name string
	file string // from the module's root
	old  string // must occur exactly once in the file
	new  string
	pkg  string // whose tests should notice
	run  string // which of them; "" for all
}

func allMutants() []mutant {
	return slices.Concat(mutants, outboxMutants, storeMutants, mongoMutants, listenerMutants)
}

func TestPlantedBugsAreCaught(t *testing.T) {
	if os.Getenv("LOCKSTEP_MUTANTS") == "" {
		t.Skip("planted bugs take minutes: run `make mutants`")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range allMutants() {
		t.Run(m.name, func(t *testing.T) {
			out, err := test(t, root, m)
			if err == nil {
				t.Errorf("%s passes with %q in %s", m.pkg, m.new, m.file)
			} else if strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]") {
				t.Errorf("the mutant does not compile:\n%s", out)
			}
		})
	}
}

// TestMutantsFitTheCode keeps the table in step with the code it mutates; it
// runs always.
func TestMutantsFitTheCode(t *testing.T) {
	t.Parallel()
	for _, m := range allMutants() {
		src, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if n := strings.Count(string(src), m.old); n != 1 {
			t.Errorf("%s: %q occurs %d times in %s, want once", m.name, m.old, n, m.file)
		}
	}
}

// test runs the tests of m's package with m's file replaced.
func test(t *testing.T, root string, m mutant) (string, error) {
	t.Helper()
	path := filepath.Join(root, m.file)
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mutated := filepath.Join(dir, "mutated.go")
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(src), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"test", "-overlay", list, "-count=1", "-timeout=3m"}
	if m.run != "" {
		args = append(args, "-run", m.run)
	}
	histories := filepath.Join(root, m.pkg, "testdata", "rapid") // where failed ones are left
	if _, err := os.Stat(histories); errors.Is(err, fs.ErrNotExist) {
		t.Cleanup(func() { _ = os.RemoveAll(histories) }) // it hurts nobody
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, m.pkg)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return string(out), err
}
