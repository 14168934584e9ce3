// Package spawn runs programs for tests: the built lockstep, a database, or
// whatever else. What it starts never outlives the test's process, also if that
// is killed.
//
// It gives programs ports that nobody else takes, neither a connection to
// somewhere nor a test of another package that runs at the same time, and
// knows how to wait for what they do. Parts of a service that a test builds itself
// run in the background of its own process.
package spawn
