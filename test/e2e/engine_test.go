package e2e

import (
	"path/filepath"
	"testing"

	"lockstep/test/mongotest"
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

// mongodb keeps a database per service on one replica set.
type mongodb struct{ set *mongotest.Set }

func (e mongodb) env(t *testing.T, _, _ string) []string {
	return []string{"MONGO_URI=" + e.set.URI(e.set.Database(t))}
}

// onMongoDBInSoaks is onEachEngine for tests that cost much, whose second engine
// runs behind LOCKSTEP_SOAK.
func onMongoDBInSoaks(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	if soak() {
		onEachEngine(t, test)
		return
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, sqlite{})
	})
}

// onEachEngine runs a test on every engine that is there.
func onEachEngine(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, sqlite{})
	})
	t.Run("mongodb", func(t *testing.T) {
		t.Parallel()
		test(t, mongodb{mongotest.Shared(t)})
	})
}
