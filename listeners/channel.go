package listeners

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
)

// channel is one subject in one generation: its subscription and what is known
// of its messages.
type channel struct {
	subject event.Subject
	count   *subjectMetrics
	sub     stan.Subscription

	unacked atomic.Int64  // messages taken in and not finished
	waiting atomic.Int64  // of those, held because something is missing or fails
	bytes   atomic.Int64  // payloads of the held ones
	moved   atomic.Int64  // when one was finished last, in Unix nanoseconds
	seen    atomic.Uint64 // highest sequence that was delivered here
	came    atomic.Int64  // when something was delivered last, in Unix nanoseconds

	// These belong to the generation's watch.
	fullSince time.Time // held messages fill their share since; zero if they do not
	relieved  time.Time // when some were asked to be set aside last
}

func (c *channel) finished(now time.Time) {
	c.unacked.Add(-1)
	c.moved.Store(now.UnixNano())
}
