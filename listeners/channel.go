package listeners

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
)

// channel is one subject in one generation: its subscriptions and what is known
// of its messages.
type channel struct {
	subject event.Subject
	count   *subjectMetrics
	sub     stan.Subscription // the narrow one
	window  *window

	unacked atomic.Int64  // messages taken in and not finished
	size    atomic.Int64  // bytes of their payloads
	waiting atomic.Int64  // of those, held because something is missing or fails
	bytes   atomic.Int64  // payloads of the held ones
	moved   atomic.Int64  // when one was finished last, in Unix nanoseconds
	seen    atomic.Uint64 // highest sequence that was delivered here
	came    atomic.Int64  // when something was delivered last, in Unix nanoseconds

	// These belong to the generation's watch.
	fullSince time.Time // held messages fill their share since; zero if they do not
	relieved  time.Time // when some were asked to be set aside last
}

// room reports whether there is room for d: beside messages of the window, and
// others that the broker forces on this member when one leaves. What finds none
// comes again.
func (c *channel) room(d *delivery, window int) bool {
	size, most := int64(len(d.payload)), int64(handBytes)
	if size > small {
		most -= handReserve
	}
	return c.unacked.Load() < 4*int64(window) && c.size.Load()+size <= most
}

// taken counts d as taken in.
func (c *channel) taken(d *delivery) {
	c.unacked.Add(1)
	c.size.Add(int64(len(d.payload)))
}

// finished counts d as finished.
func (c *channel) finished(d *delivery, now time.Time) {
	c.unacked.Add(-1)
	c.size.Add(-int64(len(d.payload)))
	c.moved.Store(now.UnixNano())
}
