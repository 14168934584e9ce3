// Package listeners is the door through which events come in: durable queue
// group subscriptions of NATS Streaming, whose messages are decoded, put in
// order per key, applied in batches, and only then acknowledged.
//
// It promises that a message is acknowledged only after what it says is
// durable (applied, applied before, or set aside in quarantine with its
// reason), that a message which came early waits until its predecessor is
// applied and is applied then, that no number of early messages keeps others
// from coming, and that its memory is bounded by configuration.
//
// What it keeps in memory may be lost at any moment: none of it was
// acknowledged, so the broker sends it again. It never unsubscribes, which
// would delete the group's position, and it never trusts a hint from another
// member: the store decides.
//
// The broker sends as many messages as the window of their channel holds
// (window.go), few while they are large.
//
// One message's way: receive (receive.go) decodes it and queues it in the
// lane of its key (lane.go); the lane's worker takes all that is queued, has
// the Handler apply it in one call (worker.go) and acknowledges what became
// durable. An early message is held in the lane (waiting.go) and looked at again
// when its predecessor was applied here, when a peer hints that it was applied
// there (hint.go), and from time to time. When held messages would stop others,
// in number, in bytes, or because their time is used up (hold.go), they are put
// into quarantine in batches (quarantine.go), acknowledged because they are
// durable there, and taken from it in order as soon as their predecessor is
// applied by any member: whoever applies it looks there for what follows, and a
// slow sweep (sweep.go) finds what came by other means.
package listeners
