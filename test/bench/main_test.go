package bench

import (
	"os"
	"testing"

	"lockstep/test/spawn"
)

func TestMain(m *testing.M) { os.Exit(spawn.Run(m.Run)) }
