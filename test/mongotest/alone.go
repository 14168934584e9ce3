package mongotest

import (
	"context"
	"testing"

	"lockstep/test/spawn"
)

// Standalone starts a server that is in no replica set and returns its
// address.
func Standalone(t testing.TB) string { return alone(t, "") }

// Uninitiated starts a server that waits to be made a replica set, and returns
// its address.
func Uninitiated(t testing.TB) string { return alone(t, setName) }

func alone(t testing.TB, set string) string {
	t.Helper()
	path := server(t)
	port, err := spawn.Port()
	if err != nil {
		t.Fatal(err)
	}
	m := &Member{dir: t.TempDir(), port: port}
	if m.process, err = launch(path, m.dir, port, set); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.process.Kill)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := m.answers(ctx); err != nil {
		t.Fatal(err)
	}
	return m.direct()
}
