// Package incident keeps what a person should know of: an event that cannot be
// published, a loss in the broker, a store that stopped writing. Each is one
// durable record that stays after what it is about has gone, and each is told
// to people twice: once when it begins, once when it is over.
//
// It promises that raising an incident never makes the caller wait, that one
// cause about one subject has one open incident however often and by however
// many processes it is raised, that what was recorded is told after any crash,
// and that what cannot be recorded is told from memory. A notice is sent at
// least once: a receiver that took it and did not say so in time gets it again,
// under the same Idempotency-Key.
//
// It never publishes an event, repairs a record or decides that something is
// well: who raises an incident resolves it, or an operator closes it.
package incident
