package spawn

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// build puts lockstep into a folder of its own, once.
var build = sync.OnceValues(func() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "lockstep-binary-"); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", binaryIn(folder), "lockstep/cmd/lockstep").CombinedOutput()
	if err != nil {
		return "", errors.Join(fmt.Errorf("build lockstep: %w\n%s", err, out), os.RemoveAll(folder))
	}
	built = folder
	return folder, nil
})

// built is the folder to remove; read only after all tests.
var built string

func binaryIn(folder string) string { return filepath.Join(folder, "lockstep") }

// Lockstep returns the path of the binary, which is built for the first test
// that asks. The package's TestMain must call Run.
func Lockstep(t testing.TB) string {
	t.Helper()
	folder, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binaryIn(folder)
}

// Run runs the tests and removes the binary after them:
//
//	func TestMain(m *testing.M) { os.Exit(spawn.Run(m.Run)) }
func Run(tests func() int) int {
	code := tests()
	if err := os.RemoveAll(built); err != nil { // nothing, if it is ""
		fmt.Fprintln(os.Stderr, "remove the binary:", err)
		return max(code, 1)
	}
	return code
}
