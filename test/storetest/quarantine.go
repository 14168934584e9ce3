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
	{"a mark comes back whole", markKept},
	{"a mark is stored over the one it was made from alone", markConditional},
	{"marks of groups and channels do not mind each other", markNames},
	{"of many members who store a mark, none is overwritten", markRace},
}

func mark(group string, sequence uint64) listeners.Mark {
	return listeners.Mark{
		Group: group, Channel: event.TicketUpdated, Sequence: sequence,
		Last: sequence, SentAt: noon.Add(time.Duration(sequence) * time.Millisecond),
	}
}

func storeMark(t *testing.T, b Backend, want bool, m listeners.Mark) {
	t.Helper()
	stored, err := b.Marks.Store(t.Context(), m)
	must(t, "store mark", err)
	if stored != want {
		t.Errorf("mark of revision %d stored: %t, want %t", m.Revision, stored, want)
	}
}

func markIs(t *testing.T, b Backend, want listeners.Mark) {
	t.Helper()
	got, err := b.Marks.Mark(t.Context(), want.Group, want.Channel)
	must(t, "mark", err)
	same(t, "mark", got, want)
}

// markKept holds that a mark comes back whole, with the next revision. Cases
// 10.5 and 10.6.
func markKept(t *testing.T, b Backend) {
	markIs(t, b, listeners.Mark{Group: "group", Channel: event.TicketUpdated})
	m := mark("group", math.MaxInt64-1)
	m.Beyond = listeners.Spans{{From: math.MaxInt64 - 5, To: math.MaxInt64 - 4}, {From: math.MaxInt64, To: math.MaxInt64}}
	m.Last, m.Base, m.Lost = math.MaxInt64, 7, 3
	storeMark(t, b, true, m)
	m.Revision = 1
	markIs(t, b, m)
	back := mark("group", 2)
	back.Revision = 1
	storeMark(t, b, true, back)
	back.Revision = 2
	markIs(t, b, back)
}

// markConditional holds that a mark is stored over the one that it was made
// from alone.
func markConditional(t *testing.T, b Backend) {
	storeMark(t, b, true, mark("group", 5))
	storeMark(t, b, false, mark("group", 6))
	late := mark("group", 6)
	late.Revision = 2
	storeMark(t, b, false, late)
	late.Revision = 1
	storeMark(t, b, true, late)
	storeMark(t, b, false, late)
	late.Revision = 2
	markIs(t, b, late)
}

func markNames(t *testing.T, b Backend) {
	other := mark("group", 7)
	other.Channel = event.TicketCreated
	for _, m := range []listeners.Mark{mark("group", 4), other, mark("another", 2)} {
		storeMark(t, b, true, m)
	}
	for _, m := range []listeners.Mark{mark("group", 4), other, mark("another", 2)} {
		m.Revision = 1
		markIs(t, b, m)
	}
}

// markRace has members add to one mark until each has.
func markRace(t *testing.T, b Backend) {
	const n = 12
	for _, err := range race(n, func(i int) error {
		for {
			m, err := b.Marks.Mark(t.Context(), "group", event.TicketUpdated)
			if err != nil {
				return err
			}
			m.Lost += uint64(i)
			if stored, err := b.Marks.Store(t.Context(), m); err != nil || stored {
				return err
			}
		}
	}) {
		must(t, "store mark", err)
	}
	got, err := b.Marks.Mark(t.Context(), "group", event.TicketUpdated)
	must(t, "mark", err)
	same(t, "sum of all members", got.Lost, uint64(n*(n-1)/2))
}
