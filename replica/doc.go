// Package replica keeps copies of records whose owner is another service. It
// decides by hand, from two numbers, whether an event is the next one: no
// plugin, no assumption hidden in the store.
//
// It promises that a copy only ever holds a version which its owner published,
// that it never goes back, and that what was reported as applied is durable.
//
// It never talks to the broker: listeners bring events and acknowledge them by
// the outcome they get.
package replica
