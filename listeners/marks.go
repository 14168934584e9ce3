package listeners

import (
	"context"
	"sync"
	"time"

	"lockstep/event"
)

// markEvery is how often marks are stored.
const markEvery = time.Second

// highWater is the highest sequence of a channel that was acknowledged here.
type highWater struct {
	mu       sync.Mutex
	sequence uint64
	sentAt   time.Time
	stored   uint64
}

func (h *highWater) raise(sequence uint64, sentAt time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sequence > h.sequence {
		h.sequence, h.sentAt = sequence, sentAt
	}
}

// changed returns the mark if it was raised since it was stored.
func (h *highWater) changed(group string, subject event.Subject) (Mark, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Mark{Group: group, Channel: subject, Sequence: h.sequence, SentAt: h.sentAt}, h.sequence > h.stored
}

func (h *highWater) kept(sequence uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored = max(h.stored, sequence)
}

// keepMarks stores the marks until ctx ends.
func (g *generation) keepMarks(ctx context.Context) {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.storeMarks(ctx)
		}
	}
}

func (g *generation) storeMarks(ctx context.Context) {
	if g.opts.Marks == nil {
		return
	}
	for _, c := range g.channels {
		m, ok := c.mark.changed(g.opts.Group, c.subject)
		if !ok {
			continue
		}
		if err := g.opts.Marks.Advance(ctx, m); err != nil {
			if ctx.Err() == nil {
				g.log.WarnContext(ctx, "mark of a channel is not stored and tried again", "subject", c.subject, "err", err)
			}
			continue
		}
		c.mark.kept(m.Sequence)
	}
}
