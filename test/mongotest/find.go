package mongotest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

const howTo = "NO MONGODB SERVER: run `make mongod` once, or set MONGO_URI to a replica set"

// server returns the path of mongod. Without one it ends the test: skipped on
// a developer's machine, failed in CI.
func server(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("LOCKSTEP_MONGOD"); path != "" {
		return path
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, ".mongod", "mongod")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if inCI, _ := strconv.ParseBool(os.Getenv("CI")); inCI { // anything but a true is none
		t.Fatal(howTo)
	}
	t.Skip(howTo)
	return ""
}

// moduleRoot returns the folder of go.mod above the working directory, which
// is the package's folder in a test.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above %s", start)
		}
	}
}
