package listeners

import (
	"maps"
	"time"

	"lockstep/event"
)

// place is where a message stands on the bus, and when it came there: a channel
// that begins anew gives sequences out again.
type place struct {
	subject  event.Subject
	sequence uint64
	sentAt   int64 // nanoseconds since 1970
}

// firstArrivals says since when messages have waited that were held when a
// generation ended and come again: a lost connection makes none of them
// younger. It is not changed once it is made.
type firstArrivals map[place]time.Time

// of returns when the message came first, if that was before now.
func (f firstArrivals) of(at place, now time.Time) time.Time {
	if since, ok := f[at]; ok {
		return since
	}
	return now
}

// oldest returns the earliest of them; the zero time if there is none.
func (f firstArrivals) oldest() (since time.Time) {
	for at := range maps.Values(f) {
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	return since
}

// firstArrivals returns those that the next generation has to know: of what is
// held, and, if this one was so short that not everything has come again, of
// what it knew itself.
func (g *generation) firstArrivals() firstArrivals {
	next := firstArrivals{}
	if g.now().Sub(g.began) < 2*g.opts.AckWait {
		maps.Copy(next, g.since)
	}
	for _, l := range g.lanes {
		l.mu.Lock()
		for _, w := range l.waiting {
			for _, d := range w.deliveries {
				next[place{d.channel.subject, d.sequence, d.sentAt.UnixNano()}] = d.arrived
			}
		}
		l.mu.Unlock()
	}
	return next
}
