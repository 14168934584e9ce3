package listeners

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"lockstep/event"
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
		a.log.WarnContext(ctx, "quarantine will be looked at again", "group", a.group, "error", err)
	}
}

// sweep tries every early entry.
func (a *aside) sweep(ctx context.Context, progress func(map[string]int64)) error {
	a.mu.Lock()
	clear(a.fresh)
	a.mu.Unlock()
	n, err := a.store.Count(ctx)
	if err != nil {
		return err
	}
	early, total := map[string]struct{}{}, 0
	for after := ""; n > 0; {
		page, err := a.store.List(ctx, after, sweepPage)
		if err != nil {
			return err
		}
		var tried []Quarantined
		for _, q := range page {
			if !a.owns(q) {
				continue
			}
			total++
			if q.Reason == TooEarly {
				tried = append(tried, q)
				early[q.Key] = struct{}{}
			}
		}
		if err := a.try(ctx, tried, progress); err != nil {
			return err
		}
		if len(page) < sweepPage {
			break
		}
		after = page[len(page)-1].ID
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.Copy(early, a.fresh)
	a.early, a.total = early, total
	return nil
}

// try applies what can be of a page, and what can be after it.
func (a *aside) try(ctx context.Context, page []Quarantined, progress func(map[string]int64)) error {
	advanced, err := a.apply(ctx, page)
	progress(advanced)
	for key := range advanced {
		err = errors.Join(err, a.release(ctx, key, progress))
	}
	return err
}

// release applies what can be of one record.
func (a *aside) release(ctx context.Context, key string, progress func(map[string]int64)) error {
	for {
		entries, err := a.store.OfKey(ctx, key, sweepPage)
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(entries, func(q Quarantined) bool { return !a.owns(q) })
		if len(entries) == 0 {
			a.mu.Lock()
			delete(a.early, key)
			a.mu.Unlock()
			return nil
		}
		advanced, err := a.apply(ctx, entries)
		if err != nil || len(advanced) == 0 {
			return err
		}
		progress(advanced)
	}
}

// apply has entries handled, removes those that are durable now, and returns
// the keys that got on with the version they reached.
func (a *aside) apply(ctx context.Context, entries []Quarantined) (map[string]int64, error) {
	slices.SortFunc(entries, func(x, y Quarantined) int {
		return cmp.Or(cmp.Compare(x.Key, y.Key), cmp.Compare(x.Version, y.Version))
	})
	var items []Item
	var ids []string
	for _, q := range entries {
		// What was decodable once may no longer be; a person decides then.
		if item, err := a.handler.Decode(q.Subject, q.Payload); err == nil {
			items, ids = append(items, item), append(ids, q.ID)
		}
	}
	if len(items) == 0 {
		return nil, nil
	}
	advanced := map[string]int64{}
	var failed error
	for i, v := range handle(ctx, a.handler, items) {
		if v.Err != nil {
			failed = v.Err
		}
		if v.Err != nil || v.Outcome == event.Early {
			continue
		}
		if err := a.remove(ctx, ids[i]); err != nil && !errors.Is(err, ErrNotFound) {
			failed = err
		}
		advanced[items[i].Key] = items[i].Version
	}
	return advanced, failed
}

func (a *aside) remove(ctx context.Context, id string) error {
	if err := a.store.Remove(ctx, id); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	return nil
}
