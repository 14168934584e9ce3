package storetest

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/listeners"
)

var quarantineCases = []testCase{
	{"Size tells how much a group has, whatever was put twice or removed", quarantineSize},
	{"an entry comes back exactly", quarantineExact},
	{"the same message twice is one entry, as first put", quarantineIdempotent},
	{"an unknown entry is ErrNotFound", quarantineUnknown},
	{"List goes by id", quarantineList},
	{"List chooses by group, reason, subject, key and age", quarantineFilter},
	{"List looks at a bounded part of what it chooses from, and goes on", quarantineFewOfMany},
	{"many are put and removed at once", quarantineMany},
	{"what waits is given by key and predecessor", quarantineWaiting},
	{"what can be applied is given with what follows it", quarantineApplicable},
	{"a page of what waits has a size", quarantinePage},
}

func newEntry(n int) listeners.Quarantined {
	payload := fmt.Appendf(nil, "not json \x00\xff %d", n)
	return listeners.Quarantined{
		ID: listeners.QuarantineID("orders-service", event.TicketUpdated, payload), Group: "orders-service", Subject: event.TicketUpdated,
		Sequence: uint64(n), Key: "key", Version: int64(n), Predecessor: int64(n) - 1, Payload: payload,
		Reason: listeners.TooEarly, Detail: texts[n%len(texts)], At: noon,
	}
}

func put(t *testing.T, b Backend, q listeners.Quarantined) listeners.Quarantined {
	t.Helper()
	must(t, "put", b.Quarantine.Put(t.Context(), []listeners.Quarantined{q}))
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
	for _, err := range race(4, func(int) error {
		return b.Quarantine.Put(t.Context(), []listeners.Quarantined{again, newEntry(1), again})
	}) {
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
	q := put(t, b, newEntry(1))
	for _, want := range []int{1, 0} {
		got, err := b.Quarantine.Remove(t.Context(), []string{"unknown", q.ID})
		must(t, "remove", err)
		same(t, "removed", got, want)
	}
	same(t, "entries", quarantined(t, b), 0)
}

// listed is q as List gives it.
func listed(q listeners.Quarantined) listeners.Quarantined {
	q.Payload = nil
	return q
}

func quarantineList(t *testing.T, b Backend) {
	want := make([]listeners.Quarantined, 5)
	for i := range want {
		want[i] = newEntry(i)
		want[i].ID = fmt.Sprint("id", i)
		want[i] = listed(put(t, b, want[i]))
	}
	for after, rest := range map[string][]listeners.Quarantined{"": want, "id1": want[2:], "id4": nil} {
		got, _, err := b.Quarantine.List(t.Context(), listeners.Filter{}, after, 3)
		must(t, "list", err)
		same(t, "list after "+after, got, rest[:min(3, len(rest))], empty)
	}
}

func quarantineFilter(t *testing.T, b Backend) {
	plain := newEntry(0)
	put(t, b, plain)
	for name, tc := range map[string]struct {
		filter listeners.Filter
		set    func(q *listeners.Quarantined)
	}{
		"group":   {listeners.Filter{Group: "g"}, func(q *listeners.Quarantined) { q.Group = "g" }},
		"reason":  {listeners.Filter{Reason: listeners.Failing}, func(q *listeners.Quarantined) { q.Reason = listeners.Failing }},
		"subject": {listeners.Filter{Subject: event.TicketDeleted}, func(q *listeners.Quarantined) { q.Subject = event.TicketDeleted }},
		"key":     {listeners.Filter{Key: "k"}, func(q *listeners.Quarantined) { q.Key = "k" }},
		"age":     {listeners.Filter{Before: noon}, func(q *listeners.Quarantined) { q.At = noon.Add(-time.Millisecond) }},
	} {
		q := newEntry(0)
		q.ID = name
		tc.set(&q)
		put(t, b, q)
		got, _, err := b.Quarantine.List(t.Context(), tc.filter, "", 10)
		must(t, "list", err)
		same(t, "by "+name, got, []listeners.Quarantined{listed(q)})
	}
}

// Case 11.5: few are chosen of many: one look is bounded, and the next goes on.
func quarantineFewOfMany(t *testing.T, b Backend) {
	const others = 2*listeners.LookAt + 100
	for i := 0; i < others; i += 100 {
		batch := make([]listeners.Quarantined, 100)
		for j := range batch {
			batch[j] = newEntry(i + j)
			batch[j].ID, batch[j].Payload = fmt.Sprintf("%06d", i+j), []byte("{}")
		}
		must(t, "put", b.Quarantine.Put(t.Context(), batch))
	}
	last := newEntry(0)
	last.ID, last.Reason = "last", listeners.Failing
	put(t, b, last)
	looks, after := 0, ""
	var chosen []listeners.Quarantined
	for more := true; more; more = after != "" {
		found, next, err := b.Quarantine.List(t.Context(), listeners.Filter{Reason: listeners.Failing}, after, 10)
		must(t, "list", err)
		chosen, after = append(chosen, found...), next
		looks++
	}
	same(t, "chosen of many", chosen, []listeners.Quarantined{listed(last)})
	if looks < 3 || looks > 5 {
		t.Errorf("found in %d looks at %d entries, want 3 and one behind the last", looks, others)
	}
}

func quarantineMany(t *testing.T, b Backend) {
	const n = 600
	must(t, "put none", b.Quarantine.Put(t.Context(), nil))
	entries, ids := make([]listeners.Quarantined, n), make([]string, n)
	for i := range entries {
		entries[i] = newEntry(i)
		ids[i] = entries[i].ID
	}
	must(t, "put", b.Quarantine.Put(t.Context(), entries))
	same(t, "entries", quarantined(t, b), n)
	removed, err := b.Quarantine.Remove(t.Context(), ids[1:])
	must(t, "remove", err)
	same(t, "removed", removed, n-1)
	removed, err = b.Quarantine.Remove(t.Context(), nil)
	must(t, "remove none", err)
	same(t, "removed of none", removed, 0)
	same(t, "entries", quarantined(t, b), 1)
}

// waitingOf puts versions of a key into quarantine.
func waitingOf(t *testing.T, b Backend, key string, versions ...int) (all []listeners.Quarantined) {
	t.Helper()
	for _, v := range versions {
		q := newEntry(v)
		q.ID, q.Key = fmt.Sprint(key, "-", 1000-v), key // ids go the other way
		all = append(all, put(t, b, q))
	}
	return all
}

// noise puts what must not be given of a key: another group's, and what waits
// for nothing.
func noise(t *testing.T, b Backend, key string) {
	t.Helper()
	foreign, broken := newEntry(1), newEntry(1)
	foreign.ID, foreign.Key, foreign.Group = key+"-foreign", key, "another"
	broken.ID, broken.Key, broken.Reason = key+"-broken", key, listeners.Undecodable
	put(t, b, foreign)
	put(t, b, broken)
}

func quarantineWaiting(t *testing.T, b Backend) {
	second, first := waitingOf(t, b, "b", 3, 9), waitingOf(t, b, "a", 4, 7)
	noise(t, b, "a")
	failing := newEntry(5)
	failing.Key, failing.Reason = "c", listeners.Failing
	put(t, b, failing)
	all := append(append(first, second...), failing)
	for _, tc := range []struct {
		after string
		limit int
		want  []listeners.Quarantined
	}{{"", 10, all}, {"", 3, all[:3]}, {"a", 10, all[2:]}, {"a5", 1, all[2:3]}, {"c", 10, nil}} {
		got, err := b.Quarantine.Waiting(t.Context(), "orders-service", tc.after, tc.limit)
		must(t, "waiting", err)
		same(t, fmt.Sprintf("%d waiting after %q", tc.limit, tc.after), got, tc.want, empty)
	}
}

func quarantineApplicable(t *testing.T, b Backend) {
	one, two, three := waitingOf(t, b, "a", 4, 5, 9), waitingOf(t, b, "b", 3), waitingOf(t, b, "c", 2)
	noise(t, b, "a")
	for _, tc := range []struct {
		name    string
		reached map[string]int64
		limit   int
		want    []listeners.Quarantined
	}{
		{"nothing", nil, 10, nil},
		{"an unknown key", map[string]int64{"unknown": 9}, 10, nil},
		{"a version before", map[string]int64{"a": 2}, 10, nil},
		{"the predecessor", map[string]int64{"a": 3}, 10, one},
		{"a version behind it", map[string]int64{"a": 6}, 10, one},
		{"some of two", map[string]int64{"a": 3, "b": 2}, 2, one[:2]},
		{"two of three", map[string]int64{"a": 1, "b": 2, "c": 1}, 10, append(two, three...)},
	} {
		got, err := b.Quarantine.Applicable(t.Context(), "orders-service", tc.reached, tc.limit)
		must(t, "applicable", err)
		same(t, tc.name, got, tc.want, empty)
	}
}

// Case 11.5: 578 entries of 900 KB were read at once.
func quarantinePage(t *testing.T, b Backend) {
	const size, n = 900 << 10, 20
	for i := range n {
		q := newEntry(i + 1)
		q.Payload = append(make([]byte, size), byte(i))
		q.ID = fmt.Sprint("large", i)
		put(t, b, q)
	}
	want := listeners.PageBytes/size + 1
	got, err := b.Quarantine.Waiting(t.Context(), "orders-service", "", n)
	must(t, "waiting", err)
	same(t, "entries of a page", len(got), want)
	got, err = b.Quarantine.Applicable(t.Context(), "orders-service", map[string]int64{"key": 0}, n)
	must(t, "applicable", err)
	same(t, "entries of a page", len(got), want)
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
	m.Last, m.Base, m.Lost, m.Renumbered = math.MaxInt64, 7, 3, 2
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

// quarantineSize: case 11.5.
func quarantineSize(t *testing.T, b Backend) {
	size := func(group string) listeners.Size {
		got, err := b.Quarantine.Size(t.Context(), group)
		must(t, "size", err)
		return got
	}
	same(t, "of nothing", size("none"), listeners.Size{})
	var ids []string
	want := listeners.Size{}
	for i := range 7 {
		q := newEntry(i)
		q.ID, q.Group, q.Payload = objectid.New(), "mine", bytes.Repeat([]byte{0xff}, 100*i)
		for range 2 {
			put(t, b, q)
		}
		other := q
		other.ID, other.Group = objectid.New(), "other"
		put(t, b, other)
		ids, want = append(ids, q.ID), listeners.Size{Messages: want.Messages + 1, Bytes: want.Bytes + int64(100*i)}
	}
	same(t, "of a group", size("mine"), want)
	_, err := b.Quarantine.Remove(t.Context(), append(ids[:3:3], ids[:2]...))
	must(t, "remove", err)
	same(t, "after three were removed", size("mine"), listeners.Size{Messages: 4, Bytes: want.Bytes - 300})
	b = b.Reopen(t)
	same(t, "after a start", size("mine"), listeners.Size{Messages: 4, Bytes: want.Bytes - 300})
	same(t, "of all groups", quarantined(t, b), 11)
}
