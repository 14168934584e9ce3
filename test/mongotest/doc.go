// Package mongotest gives tests a real MongoDB replica set.
//
// A test that only needs a server takes the shared one: MONGO_URI if that is
// set, otherwise a set of one member that is started once per test binary. A
// test that breaks things starts a set of its own, whose members it can step
// down, kill, freeze, restart and cut off from each other.
//
// The server is `.mongod/mongod` of the module's root, which `make mongod` puts
// there, or the one that LOCKSTEP_MONGOD names. Without it tests are skipped
// with one line that says so; with CI=true that is a failure.
package mongotest
