package listeners

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"lockstep/event"
)

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
	for i, v := range a.handler.Handle(ctx, items) {
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
