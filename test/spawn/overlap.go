package spawn

import (
	"flag"
	"strconv"
)

// Overlap makes a package run n of its tests at once instead of as many as there
// are processors, unless the command line says how many: for tests that mostly
// wait. TestMain calls it before it runs them.
func Overlap(n int) {
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err) // no test binary
	}
}
