// Package session keeps one NATS Streaming connection of a process alive. The
// client library gives up for good on the first sign of trouble and leaves it
// to its user to build everything anew; here the user waits for a Conn, works
// with it until it is lost, and waits for the next one.
//
// Each connection that is built is a generation. A broken link of the same
// session is healed by the client library and is no new generation: Conn then
// reports Reconnected, and subscriptions should be made again, or what was
// sent into the gap waits for its AckWait. A broker that no longer knows the
// session, after a restart without its store or because another process took
// the client id, leads to the next generation.
//
// The session never unsubscribes, which would delete durables, and never sends
// a close for a connection that may no longer be its own: a close carries the
// client id alone and would throw out the new owner.
package session
