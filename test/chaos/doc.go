// Package chaos breaks a replica set of three members while services on it
// work, and then compares what is stored, what is on the bus and what the
// replica has.
//
// It takes minutes, so only with LOCKSTEP_CHAOS=1, or `make chaos-mongo`.
package chaos
