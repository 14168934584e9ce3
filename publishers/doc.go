// Package publishers is the door out: it puts events onto channels of NATS
// Streaming and says of each what became of it, in the words of package event.
//
// It promises one answer for every event, as soon as it can be known: a broken
// connection answers for all that was under way. It never waits for the
// broker, keeps no event, and never sends one twice by itself: whoever keeps
// the events decides that.
package publishers
