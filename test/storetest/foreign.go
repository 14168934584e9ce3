package storetest

import (
	"slices"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/outbox"
)

// Cases 10.3 and 10.12.
var foreignCases = []testCase{
	{"what is no event is passed over, listed and discarded", foreignEntries},
	{"what is no event blocks no key", foreignKeys},
	{"pages full of what is no event hide nothing", foreignPages},
	{"odd fields that no event needs are read as nothing", foreignFields},
	{"no time that a clock ahead has written is waited for", foreignTimes},
	{"a key stays blocked while its event is tried again", foreignBlocked},
}

func foreignEntries(t *testing.T, b Backend) {
	before := openTail(t, b)
	key := objectid.New()
	enqueue(t, b, fact(key, 3))
	strange := b.Foreign(t, key)
	enqueue(t, b, fact(key, 4))
	want := idsOf(fact(key, 3), fact(key, 4))

	same(t, "scan", newView(openTail(t, b)).scan(t, 10), want)
	v := newView(before)
	v.await(t, want...)
	same(t, "everything the stream brought is an event", sorted(keysOf(v.seen)), sorted(want))
	got, err := b.Outbox.Key(t.Context(), key, event.None, 10)
	must(t, "read key", err)
	same(t, "key", ids(got), want)

	st, err := b.Outbox.Stats(t.Context())
	must(t, "stats", err)
	same(t, "unreadable", st.Unreadable, strange)
	same(t, "pending", st.Pending, strange+2)
	same(t, "oldest", st.Oldest, fact(key, 3).OccurredAt)

	for id, r := range waiting(t, b) {
		if slices.Contains(want, id) {
			continue
		}
		strange--
		if r.Unreadable == nil || r.Unreadable.Why == "" {
			t.Errorf("%s is listed as %+v, want it with the reason why it is no event", id, r)
		}
		one, err := b.Outbox.Record(t.Context(), id)
		must(t, "read "+id, err)
		same(t, "by its id", one, r)
		must(t, "discard "+id, b.Outbox.Discard(t.Context(), id))
	}
	same(t, "entries that were not listed", strange, 0)
	same(t, "what is left", sorted(keysOf(waiting(t, b))), sorted(want))
	st, err = b.Outbox.Stats(t.Context())
	must(t, "stats", err)
	same(t, "unreadable", st.Unreadable, 0)
}

func foreignKeys(t *testing.T, b Backend) {
	failed, locked := objectid.New(), objectid.New()
	b.Foreign(t, failed)
	b.Foreign(t, locked)
	enqueue(t, b, fact(failed, 5), fact(locked, 5))
	fail(t, b, fact(failed, 5).ID(), noon)
	same(t, "due", due(t, b, noon, 100), idsOf(fact(failed, 5)))
	same(t, "stale", stale(t, b, time.Now().Add(time.Minute), 100), idsOf(fact(locked, 5)))
	st, err := b.Outbox.Stats(t.Context())
	must(t, "stats", err)
	same(t, "blocked keys", st.BlockedKeys, 1)
}

func foreignPages(t *testing.T, b Backend) {
	key := objectid.New()
	for range 5 {
		b.Foreign(t, key)
	}
	enqueue(t, b, fact(key, 7), fact(key, 8))
	same(t, "scan", newView(openTail(t, b)).scan(t, 1), idsOf(fact(key, 7), fact(key, 8)))
	got, err := b.Outbox.Key(t.Context(), key, event.None, 1)
	must(t, "read key", err)
	same(t, "key", ids(got), idsOf(fact(key, 7)))
}

func foreignFields(t *testing.T, b Backend) {
	e := fact(objectid.New(), 2)
	b.Careless(t, e)
	same(t, "scan", newView(openTail(t, b)).scan(t, 10), idsOf(e))
	r, err := b.Outbox.Record(t.Context(), e.ID())
	must(t, "read record", err)
	same(t, "failures", r.Failures, outbox.Failures{Kept: []outbox.Failure{}})
	same(t, "payload", string(r.Payload), string(e.Payload))
	same(t, "locked", r.Locked, true)
	r = fail(t, b, e.ID(), noon)
	same(t, "failures", r.Failures.Total, 1)
	same(t, "due", due(t, b, noon, 10), idsOf(e))
	must(t, "delete", b.Outbox.Delete(t.Context(), []outbox.Ref{r.Ref()}))
	same(t, "what is left", len(waiting(t, b)), 0)
}

func foreignTimes(t *testing.T, b Backend) {
	now := time.Now()
	soon, ahead := fact(objectid.New(), 0), fact(objectid.New(), 0)
	enqueue(t, b, soon, ahead)
	fail(t, b, soon.ID(), now.Add(time.Minute))
	fail(t, b, ahead.ID(), now.Add(24*time.Hour))
	got, err := b.Outbox.Due(t.Context(), now, now.Add(5*time.Minute), 10)
	must(t, "due", err)
	same(t, "due", ids(got), idsOf(ahead))

	_, err = b.Outbox.Relock(t.Context(), idsOf(soon), now.Add(time.Second))
	must(t, "relock", err)
	_, err = b.Outbox.Relock(t.Context(), idsOf(ahead), now.Add(24*time.Hour))
	must(t, "relock", err)
	got, err = b.Outbox.Stale(t.Context(), now.Add(-time.Minute), now.Add(time.Minute), 10)
	must(t, "stale", err)
	same(t, "stale", ids(got), idsOf(ahead))

	mustAcquire(t, b, "relay", "a clock ahead", 24*time.Hour)
	if l, ok := acquire(t, b, "relay", "b", time.Minute); !ok || l.Settled {
		t.Errorf("a lease of a minute is %+v, %t while a day of it was left, want it to count as run out", l, ok)
	}
	if _, ok := acquire(t, b, "relay", "c", time.Minute); ok {
		t.Error("a lease that runs was taken")
	}
}

func foreignBlocked(t *testing.T, b Backend) {
	e := fact(objectid.New(), 0)
	enqueue(t, b, e, fact(objectid.New(), 0))
	fail(t, b, e.ID(), noon)
	for range 2 {
		st, err := b.Outbox.Stats(t.Context())
		must(t, "stats", err)
		same(t, "blocked keys", st.BlockedKeys, 1)
		_, err = b.Outbox.Relock(t.Context(), idsOf(e), noon)
		must(t, "relock", err)
	}
}

func keysOf[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return all
}
