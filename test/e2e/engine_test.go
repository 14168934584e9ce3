package e2e

import (
	"path/filepath"
	"testing"
)

// engine says where the services of a system keep their data.
type engine interface {
	// env returns the settings of one service.
	env(t *testing.T, service, dir string) []string
}

// sqlite keeps a file per service.
type sqlite struct{}

func (sqlite) env(_ *testing.T, service, dir string) []string {
	return []string{"DATA_DIR=" + filepath.Join(dir, service)}
}

// onEachEngine runs a test on every engine that is there.
func onEachEngine(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, sqlite{})
	})
}
