package listeners

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// sweepEvery is how often all that is in quarantine is tried: its
	// predecessor may have been applied by another member, or by a repair.
	sweepEvery = 5 * time.Second

	sweepPage = 256 // entries tried together
	maxDetail = 500 // bytes of the sentence that says why
)

// aside is a listener's part of the quarantine: it puts messages there and
// applies the early ones once they can be.
type aside struct {
	store   Quarantine
	handler Handler
	group   string
	owns    func(Quarantined) bool
	log     *slog.Logger
	ready   chan string // keys of which something may be applicable; the sweep finds what does not fit

	mu    sync.Mutex
	early map[string]struct{} // keys with early entries, as far as known here
	fresh map[string]struct{} // those that came while a sweep goes on
	total int                 // entries, as of the last sweep and what was done since
}

func newAside(store Quarantine, h Handler, o Options, owns func(Quarantined) bool) *aside {
	return &aside{
		store: store, handler: h, group: o.Group, owns: owns, log: o.Log,
		ready: make(chan string, 1024), early: map[string]struct{}{}, fresh: map[string]struct{}{},
	}
}

// put sets d aside, durably.
func (a *aside) put(ctx context.Context, d *delivery, reason Reason, detail string) error {
	q := Quarantined{
		ID:    QuarantineID(a.group, d.channel.subject, d.payload),
		Group: a.group, Subject: d.channel.subject, Sequence: d.sequence,
		Key: d.item.Key, Version: d.item.Version, Payload: d.payload,
		Reason: reason, Detail: sentence(detail), At: time.Now().UTC(),
	}
	if err := a.store.Put(ctx, q); err != nil {
		return err
	}
	level := slog.LevelWarn
	if reason == TooEarly { // a flood of them is counted, not told one by one
		level = slog.LevelDebug
	}
	a.log.Log(ctx, level, "message set aside", "group", a.group, "subject", q.Subject, "sequence", q.Sequence,
		"key", q.Key, "version", q.Version, "reason", q.Reason, "detail", q.Detail)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total++
	if reason == TooEarly {
		a.early[q.Key] = struct{}{}
		a.fresh[q.Key] = struct{}{}
	}
	return nil
}

// sentence cuts detail to what an entry may hold.
func sentence(detail string) string {
	return strings.ToValidUTF8(detail[:min(len(detail), maxDetail)], "")
}

// advanced takes note of keys that got on.
func (a *aside) advanced(keys map[string]int64) {
	a.mu.Lock()
	none := len(a.early) == 0
	a.mu.Unlock()
	if none {
		return
	}
	for key := range keys {
		a.reached(key)
	}
}

// reached takes note that key may have got on.
func (a *aside) reached(key string) {
	a.mu.Lock()
	_, ok := a.early[key]
	a.mu.Unlock()
	if !ok {
		return
	}
	select {
	case a.ready <- key:
	default:
	}
}

func (a *aside) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total
}

// run applies early entries when they can be, until ctx ends. progress is
// called with the keys that got on by it.
func (a *aside) run(ctx context.Context, progress func(map[string]int64)) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	a.logged(ctx, a.sweep(ctx, progress))
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-a.ready:
			a.logged(ctx, a.release(ctx, key, progress))
		case <-tick.C:
			a.logged(ctx, a.sweep(ctx, progress))
		}
	}
}

func (a *aside) logged(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "quarantine will be looked at again", "group", a.group, "err", err)
	}
}
