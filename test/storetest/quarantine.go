package storetest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
)

var quarantineCases = []testCase{
	{"an entry comes back exactly", quarantineExact},
	{"the same message twice is one entry, as first put", quarantineIdempotent},
	{"an unknown entry is ErrNotFound", quarantineUnknown},
	{"List goes by id", quarantineList},
	{"OfKey gives what waits for a predecessor, by version", quarantineOfKey},
}

func newEntry(n int) listeners.Quarantined {
	payload := fmt.Appendf(nil, "not json \x00\xff %d", n)
	return listeners.Quarantined{
		ID: listeners.QuarantineID("orders-service", event.TicketUpdated, payload), Group: "orders-service", Subject: event.TicketUpdated,
		Sequence: uint64(n), Key: "key", Version: int64(n), Payload: payload,
		Reason: listeners.TooEarly, Detail: texts[n%len(texts)], At: noon,
	}
}

func put(t *testing.T, b Backend, q listeners.Quarantined) listeners.Quarantined {
	t.Helper()
	must(t, "put", b.Quarantine.Put(t.Context(), q))
	return q
}

func quarantined(t *testing.T, b Backend) int {
	t.Helper()
	n, err := b.Quarantine.Count(t.Context())
	must(t, "count", err)
	return n
}

func quarantineExact(t *testing.T, b Backend) {
	for i := range texts {
		want := newEntry(i)
		switch i {
		case 1:
			want.Reason, want.Key, want.Version, want.Payload = listeners.Undecodable, "", 0, []byte{}
		case 2:
			want.Sequence = math.MaxInt64
		}
		put(t, b, want)
		got, err := b.Quarantine.Get(t.Context(), want.ID)
		must(t, "get", err)
		same(t, "entry", got, want)
	}
	same(t, "entries", quarantined(t, b), len(texts))
}

func quarantineIdempotent(t *testing.T, b Backend) {
	first := put(t, b, newEntry(1))
	again := first
	again.Sequence, again.Detail, again.At = 99, "seen again", noon.Add(time.Hour)
	for _, err := range race(4, func(int) error { return b.Quarantine.Put(t.Context(), again) }) {
		must(t, "put again", err)
	}
	got, err := b.Quarantine.Get(t.Context(), first.ID)
	must(t, "get", err)
	same(t, "entry", got, first)
	same(t, "entries", quarantined(t, b), 1)
}

func quarantineUnknown(t *testing.T, b Backend) {
	_, err := b.Quarantine.Get(t.Context(), "unknown")
	wants(t, "Get", err, listeners.ErrNotFound)
	wants(t, "Remove", b.Quarantine.Remove(t.Context(), "unknown"), listeners.ErrNotFound)
	q := put(t, b, newEntry(1))
	must(t, "remove", b.Quarantine.Remove(t.Context(), q.ID))
	wants(t, "Remove again", b.Quarantine.Remove(t.Context(), q.ID), listeners.ErrNotFound)
	same(t, "entries", quarantined(t, b), 0)
}

func quarantineList(t *testing.T, b Backend) {
	want := make([]listeners.Quarantined, 5)
	for i := range want {
		want[i] = newEntry(i)
		want[i].ID = fmt.Sprint("id", i)
		put(t, b, want[i])
	}
	for after, rest := range map[string][]listeners.Quarantined{"": want, "id1": want[2:], "id4": nil} {
		got, err := b.Quarantine.List(t.Context(), after, 3)
		must(t, "list", err)
		same(t, "list after "+after, got, rest[:min(3, len(rest))], empty)
	}
}

func quarantineOfKey(t *testing.T, b Backend) {
	late, early, broken, other := newEntry(8), newEntry(7), newEntry(6), newEntry(5)
	broken.Reason = listeners.Undecodable
	other.Key = "other"
	for _, q := range []listeners.Quarantined{late, early, broken, other} {
		put(t, b, q)
	}
	got, err := b.Quarantine.OfKey(t.Context(), "key", 10)
	must(t, "of key", err)
	same(t, "of key", got, []listeners.Quarantined{early, late})
	got, err = b.Quarantine.OfKey(t.Context(), "key", 1)
	must(t, "of key", err)
	same(t, "first of key", got, []listeners.Quarantined{early})
	got, err = b.Quarantine.OfKey(t.Context(), "unknown", 1)
	must(t, "of key", err)
	same(t, "of an unknown key", got, nil, empty)
}

var markCases = []testCase{
	{"a mark only advances", markAdvances},
	{"a reset stores whatever it is given", markResets},
	{"marks of groups and channels do not mind each other", markNames},
	{"of many members advancing, the highest stays", markRace},
}

func mark(group string, sequence uint64) listeners.Mark {
	return listeners.Mark{Group: group, Channel: event.TicketUpdated, Sequence: sequence, SentAt: noon.Add(time.Duration(sequence) * time.Millisecond)}
}

func markIs(t *testing.T, b Backend, want listeners.Mark) {
	t.Helper()
	got, err := b.Marks.Mark(t.Context(), want.Group, want.Channel)
	must(t, "mark", err)
	same(t, "mark", got, want)
}

func markAdvances(t *testing.T, b Backend) {
	got, err := b.Marks.Mark(t.Context(), "group", event.TicketUpdated)
	must(t, "mark", err)
	same(t, "sequence of no mark", got.Sequence, uint64(0))
	for _, step := range []struct{ advance, want uint64 }{{5, 5}, {3, 5}, {5, 5}, {6, 6}, {math.MaxInt64, math.MaxInt64}} {
		must(t, "advance", b.Marks.Advance(t.Context(), mark("group", step.advance)))
		markIs(t, b, mark("group", step.want))
	}
}

func markResets(t *testing.T, b Backend) {
	must(t, "reset", b.Marks.Reset(t.Context(), mark("group", 9)))
	markIs(t, b, mark("group", 9))
	must(t, "reset", b.Marks.Reset(t.Context(), mark("group", 2)))
	markIs(t, b, mark("group", 2))
	must(t, "advance", b.Marks.Advance(t.Context(), mark("group", 3)))
	markIs(t, b, mark("group", 3))
}

func markNames(t *testing.T, b Backend) {
	other := mark("group", 7)
	other.Channel = event.TicketCreated
	must(t, "advance", b.Marks.Advance(t.Context(), mark("group", 4)))
	must(t, "advance", b.Marks.Advance(t.Context(), other))
	must(t, "advance", b.Marks.Advance(t.Context(), mark("another", 2)))
	markIs(t, b, mark("group", 4))
	markIs(t, b, other)
	markIs(t, b, mark("another", 2))
}

func markRace(t *testing.T, b Backend) {
	const n = 24
	for _, err := range race(n, func(i int) error { return b.Marks.Advance(t.Context(), mark("group", uint64(i*7%n)+1)) }) {
		must(t, "advance", err)
	}
	markIs(t, b, mark("group", n))
}
