// Package broker runs a NATS Streaming server inside the process, with its
// monitoring pages, so that one binary is a whole system and tests meet the
// real thing.
//
// It promises that a store directory belongs to one broker at a time, that
// what it confirmed is on disk, that no channel limit drops messages unless
// the caller set one, and that every way of not starting is an error with a
// sentence a person can act on: the server's own habit of waiting ten seconds
// or exiting the process is kept away from the caller.
package broker
