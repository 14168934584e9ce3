package listeners

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/stan.go"
)

// The broker counts a window in messages, of which one may be a thousand times
// as large as another. So a channel is joined by a narrow subscription, whose
// messages have room whatever their size, and by a wide one beside it once
// messages are seen to be small or none wait. When they outgrow the room, the
// wide one is closed again.
const (
	// windowBytes is how many bytes a window is meant to hold. With outgrownBytes
	// here, in hand or not looked at yet, it is made narrow.
	windowBytes   = 8 << 20
	outgrownBytes = 10 << 20

	// handBytes is how many bytes of a channel's payloads are taken in at most,
	// the last of them for small messages only, and waitingBytes how many of
	// each of its subscriptions may wait to be looked at. What finds no room
	// comes again after AckWait.
	handBytes    = 12 << 20
	handReserve  = 1 << 20
	small        = 8 << 10
	waitingBytes = 8 << 20

	// maxMessage is the largest message a broker takes unless it is told
	// otherwise (nats-server: max_payload).
	maxMessage = 1 << 20

	// silence is how long nothing must have come for nothing to wait.
	silence = 100 * time.Millisecond

	// wideAgain is how long a window that was outgrown stays narrow.
	wideAgain = 5 * time.Second
)

// window says how many messages of a channel the broker may have with this
// member, unacknowledged.
type window struct {
	mu       sync.Mutex
	limit    int // whatever the size
	narrow   int
	wide     int // beside the narrow ones; 0 while that subscription is closed
	wideSub  stan.Subscription
	since    time.Time // the window was changed
	messages int       // that came since then
	bytes    int
	outgrown time.Time // when it was made narrow last
	refused  time.Time // when there was no room last
	changing bool      // the wide subscription is being opened or closed
	over     bool      // the channel was left
}

func newWindow(limit int, now time.Time) *window {
	return &window{limit: limit, narrow: min(limit, windowBytes/maxMessage), since: now}
}

// size returns how many messages it has room for.
func (w *window) size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.narrow + w.wide
}

// isNarrow reports whether it holds few messages, because they are large.
func (w *window) isNarrow() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wide == 0 && w.narrow < w.limit
}

// open returns how many messages the broker knows it may send.
func (w *window) open() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wideSub == nil {
		return w.narrow
	}
	return w.narrow + w.wide
}

// saw notes that a message of so many bytes came. It reports whether the window
// should be widened.
func (w *window) saw(bytes int, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.messages++
	w.bytes += bytes
	return w.fitting(now) > 0
}

// fitting returns how wide a second subscription should be; 0 if there should
// be none, or is one.
func (w *window) fitting(now time.Time) int {
	if w.wide > 0 || w.changing || w.over || now.Sub(w.outgrown) < wideAgain || w.messages == 0 && now.Sub(w.since) < silence {
		return 0
	}
	fit := min(w.limit, windowBytes/max(w.bytes/max(w.messages, 1), 1))
	if fit < min(2*w.narrow, w.limit) {
		return 0
	}
	return fit - w.narrow
}

// refuse notes that there was no room for a message.
func (w *window) refuse(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = now
}

// crowded reports whether a message found no room since a time.
func (w *window) crowded(since time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused.After(since)
}

// widening takes the width of the second subscription that is to be opened now;
// 0 if none is. With any other opened must be called.
func (w *window) widening(now time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.fitting(now)
	if n > 0 {
		w.wide, w.changing = n, true
	}
	return n
}

// opened takes the second subscription, nil if it could not be had. It reports
// whether that must be closed because the channel was left meanwhile.
func (w *window) opened(sub stan.Subscription) (late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changing = false
	if sub == nil || w.over {
		w.wide, w.outgrown = 0, time.Now()
		return sub != nil
	}
	w.wideSub = sub
	return false
}

// narrowing takes the second subscription out if the window is outgrown, with so
// many bytes in hand; nil if it is not.
func (w *window) narrowing(hand int64, now time.Time) stan.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	sub := w.wideSub
	if sub == nil {
		return nil
	}
	dropped, err := sub.Dropped()
	if err != nil { // it is closed, as its session is
		return nil
	}
	_, waiting, _ := sub.Pending()
	if dropped > 0 {
		w.refused = now
	}
	if dropped == 0 && hand+int64(waiting) < outgrownBytes {
		return nil
	}
	w.outgrown = now
	w.wideSub, w.wide, w.since, w.messages, w.bytes = nil, 0, now, 0, 0
	return sub
}

// leave ends the window and returns the second subscription, if there is one.
func (w *window) leave() stan.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	sub := w.wideSub
	w.wideSub = nil
	return sub
}

// resize opens or closes the wide subscription of a channel if it is time to.
func (g *generation) resize(ctx context.Context, c *channel) {
	if sub := c.window.narrowing(c.size.Load(), g.now()); sub != nil {
		g.log.InfoContext(ctx, "messages are large: fewer are taken at once", "group", g.opts.Group, "subject", c.subject)
		g.helping.Go(func() { g.ended(ctx, string(c.subject), sub.Close()) })
		return
	}
	if n := c.window.widening(g.now()); n > 0 {
		g.helping.Go(func() { g.widen(ctx, c, n) })
	}
}

// widen opens the wide subscription of a channel. One that could not be opened
// is tried again.
func (g *generation) widen(ctx context.Context, c *channel, n int) {
	sub, err := g.join(c, n)
	if err != nil && ctx.Err() == nil {
		g.log.WarnContext(ctx, "few messages are taken at once, and more are tried again", "group", g.opts.Group, "subject", c.subject, "err", err)
	}
	if late := c.window.opened(sub); late {
		g.ended(ctx, string(c.subject), sub.Close())
	}
}
