package listeners

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
)

// channel is one subject in one generation: its subscriptions and what is
// known of its messages.
type channel struct {
	subject event.Subject
	count   *subjectMetrics

	unacked  atomic.Int64  // messages taken in and not finished
	early    atomic.Int64  // of those, held because something is missing
	moved    atomic.Int64  // when one was finished last, in Unix nanoseconds
	borrowed atomic.Int64  // messages a scout brought that are not finished
	seen     atomic.Uint64 // highest sequence that was delivered here
	came     atomic.Int64  // when something was delivered last, in Unix nanoseconds

	refused  atomic.Bool // a delivery found no room since the subscriptions were made
	scouting atomic.Bool // a scout is out, or asked for

	// subs belong to the generation's own goroutine. The first is the group's
	// member; more are there only while early messages fill its window.
	subs      []stan.Subscription
	fullSince time.Time // its window is full of early messages since; zero if it is not
	scouted   uint64    // where the last scout for room began
	told      time.Time // when it was logged last that scouts and members are not enough
	calmSince time.Time // overflow members are not needed since; zero if they are
}

func (c *channel) finished(now time.Time) {
	c.unacked.Add(-1)
	c.moved.Store(now.UnixNano())
}
