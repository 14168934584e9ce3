package listeners

import (
	"cmp"
	"context"
	"slices"
)

// memoryQuarantine fails when the play wants it to.
type memoryQuarantine struct {
	play    *play
	entries map[string]Quarantined
}

func (q *memoryQuarantine) has(payload string) bool {
	for _, e := range q.entries {
		if string(e.Payload) == payload {
			return true
		}
	}
	return false
}

func (q *memoryQuarantine) fails() error {
	if q.play.chance(0.1) {
		return errStore
	}
	return nil
}

func (q *memoryQuarantine) Put(_ context.Context, messages []Quarantined) error {
	if err := q.fails(); err != nil {
		return err
	}
	for _, e := range messages {
		if _, ok := q.entries[e.ID]; !ok {
			q.entries[e.ID] = e
		}
	}
	return nil
}

func (q *memoryQuarantine) List(context.Context, Filter, string, int) ([]Quarantined, string, error) {
	return nil, "", errStore
}

func (q *memoryQuarantine) byKey(limit int, match func(Quarantined) bool) ([]Quarantined, error) {
	var found []Quarantined
	for _, e := range q.entries {
		if e.waits() && match(e) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b Quarantined) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Predecessor, b.Predecessor))
	})
	return found[:min(limit, len(found))], q.fails()
}

func (q *memoryQuarantine) Waiting(_ context.Context, _, after string, limit int) ([]Quarantined, error) {
	return q.byKey(limit, func(e Quarantined) bool { return e.Key > after })
}

func (q *memoryQuarantine) Applicable(_ context.Context, _ string, reached map[string]int64, limit int) ([]Quarantined, error) {
	first := map[string]bool{}
	for _, e := range q.entries {
		if v, ok := reached[e.Key]; ok && e.Predecessor <= v {
			first[e.Key] = true
		}
	}
	return q.byKey(limit, func(e Quarantined) bool { return first[e.Key] })
}

func (q *memoryQuarantine) Get(_ context.Context, id string) (Quarantined, error) {
	if e, ok := q.entries[id]; ok {
		return e, nil
	}
	return Quarantined{}, ErrNotFound
}

func (q *memoryQuarantine) Remove(_ context.Context, ids []string) (n int, err error) {
	if err := q.fails(); err != nil {
		return 0, err
	}
	for _, id := range ids {
		if _, ok := q.entries[id]; ok {
			n++
		}
		delete(q.entries, id)
	}
	return n, nil
}

func (q *memoryQuarantine) Count(context.Context) (int, error) { return len(q.entries), q.fails() }

func (q *memoryQuarantine) Size(context.Context, string) (Size, error) {
	return Size{Messages: len(q.entries)}, q.fails()
}
