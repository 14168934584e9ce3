// Package mutants proves that the tests bite: it plants a bug into the code,
// one at a time and without touching the tree (go test -overlay), runs the
// tests that should notice, and fails if they pass.
//
// It runs for minutes, so only with LOCKSTEP_MUTANTS=1, or `make mutants`.
package mutants
