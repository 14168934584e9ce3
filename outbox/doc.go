// Package outbox gets events out without losing one. Services write an event
// together with the change it announces; the relay of this package publishes
// what waits, in version order within a key and side by side across keys,
// deletes what the broker has confirmed, and keeps what it has not.
//
// What may have been sent by a relay that ended, or over a connection that broke,
// is looked for on the broker before it is published again.
//
// It promises that an event is published at least once after its commit and
// never before, that a later version of a key is never published while an
// earlier one waits, and that one event which cannot be published delays
// nobody but its own key.
//
// It does not know the broker: publishing is a port. What waits is never held
// in memory beyond a bound, however long the backlog.
package outbox
