package storetest

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/outbox"
)

var outboxCases = []testCase{
	{"payloads come back byte by byte", outboxExact},
	{"Key reads one key above a version, in version order", outboxKey},
	{"large events are read a page at a time", outboxPages},
	{"Delete removes the events it is given and minds no others", outboxDelete},
	{"Delete removes records as they were read and none between them", outboxDeleteRead},
	{"Stats describes what waits", outboxStats},
	{"List goes on behind an id", outboxList},
	{"List shows everything once while it is being published", outboxListMany},
	{"an unknown record is ErrNotFound", outboxUnknown},
	{"Retry makes a record due at once", outboxRetry},
	{"Discard removes a record and frees its key", outboxDiscard},
}

func outboxExact(t *testing.T, b Backend) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, payload := range [][]byte{
		{}, nil, []byte("{}"), all, []byte(`{"$set":{"a.b":"$x"}}`), bytes.Repeat([]byte{0}, 100), bytes.Repeat(all, event.MaxPayload/256),
	} {
		want := fact(objectid.New(), int64(i))
		want.Payload = payload
		enqueue(t, b, want)
		got, err := b.Outbox.Record(t.Context(), want.ID())
		must(t, "read record", err)
		if got.Payload == nil || !bytes.Equal(got.Payload, payload) {
			t.Errorf("payload %d of %d bytes came back with %d (nil: %t)", i, len(payload), len(got.Payload), got.Payload == nil)
		}
		got.Payload, want.Payload = nil, nil
		same(t, "event", got.Event, want)
	}
}

func outboxKey(t *testing.T, b Backend) {
	key := objectid.New()
	var own []event.Event
	for v := range int64(12) {
		own = append(own, fact(key, v))
		enqueue(t, b, own[v], fact(objectid.New(), v))
	}
	read := func(after int64, limit int) []string {
		got, err := b.Outbox.Key(t.Context(), key, after, limit)
		must(t, "read key", err)
		return ids(got)
	}
	same(t, "all of the key", read(event.None, 100), idsOf(own...))
	same(t, "above a version", read(8, 100), idsOf(own[9:]...))
	same(t, "no more than asked for", read(2, 3), idsOf(own[3:6]...))
	same(t, "above the last", read(11, 3), nil, empty)
}

// outboxPages: whatever the relay reads is bounded in bytes. Case 11.3.
func outboxPages(t *testing.T, b Backend) {
	const n, page = 6, 3 // the third is the one that fills the page
	tail, err := b.Outbox.Tail(t.Context())
	must(t, "open tail", err)
	defer func() { must(t, "close tail", tail.Close()) }()
	var hot, heads []event.Event
	large := func(key string, version int64) event.Event {
		e := fact(key, version)
		e.Payload = bytes.Repeat([]byte("x"), 900_000)
		return e
	}
	key := objectid.New()
	for v := range int64(n) {
		hot, heads = append(hot, large(key, v)), append(heads, large(objectid.New(), 0))
		enqueue(t, b, hot[v])
	}
	for at := event.None; at < n-1; at += page {
		got, err := b.Outbox.Key(t.Context(), key, at, 100)
		must(t, "read key", err)
		same(t, "page of the key", ids(got), idsOf(hot[at+1:at+1+page]...))
	}
	seen := map[string]bool{}
	for len(seen) < n {
		wake, err := tail.Next(t.Context())
		must(t, "next", err)
		if len(wake.Records) > page {
			t.Errorf("a wake brings %d records, want %d at most", len(wake.Records), page)
		}
		for _, id := range ids(wake.Records) {
			seen[id] = true
		}
	}
	must(t, "delete", b.Outbox.Delete(t.Context(), refsTo(hot...)))
	for _, e := range heads {
		enqueue(t, b, e)
	}
	now := time.Now()
	old, err := b.Outbox.Stale(t.Context(), now.Add(time.Hour), now.Add(time.Hour), 100)
	must(t, "stale", err)
	scan, err := b.Outbox.Tail(t.Context())
	must(t, "open tail", err)
	defer func() { must(t, "close tail", scan.Close()) }()
	first, err := scan.Scan(t.Context(), 100)
	must(t, "scan", err)
	for _, e := range heads {
		fail(t, b, e.ID(), now)
	}
	due, err := b.Outbox.Due(t.Context(), now.Add(time.Hour), now.Add(2*time.Hour), 100)
	must(t, "due", err)
	same(t, "records that Stale, Scan and Due return", []int{len(old), len(first), len(due)}, []int{page, page, page})
	rest := first
	for all := len(first); all < n; all += len(rest) {
		rest, err = scan.Scan(t.Context(), 100)
		must(t, "scan on", err)
		if len(rest) == 0 {
			t.Fatalf("the scan ended after %d of %d", all, n)
		}
	}
}

func outboxDelete(t *testing.T, b Backend) {
	key := objectid.New()
	var all []event.Event
	for v := range int64(600) {
		all = append(all, fact(key, v))
	}
	enqueue(t, b, all...)
	must(t, "delete nothing", b.Outbox.Delete(t.Context(), nil))
	must(t, "delete unknown ids", b.Outbox.Delete(t.Context(), []outbox.Ref{{Key: "unknown"}, {Key: `"`}, {Position: 1 << 40}, {}}))
	same(t, "records", len(waiting(t, b)), 600)
	must(t, "delete many", b.Outbox.Delete(t.Context(), append(refsTo(all[1:]...), outbox.Ref{Key: "unknown"})))
	got, err := b.Outbox.Key(t.Context(), key, event.None, 1000)
	must(t, "read key", err)
	same(t, "what was not deleted", ids(got), idsOf(all[0]))
	for range 2 {
		must(t, "delete again", b.Outbox.Delete(t.Context(), refsTo(all...)))
	}
	same(t, "records", len(waiting(t, b)), 0)
}

// outboxDeleteRead deletes records as they were read, with others between them.
func outboxDeleteRead(t *testing.T, b Backend) {
	var all []event.Event
	for v := range int64(30) {
		all = append(all, fact(objectid.New(), v))
	}
	enqueue(t, b, all...)
	records := waiting(t, b)
	var refs []outbox.Ref
	var kept []string
	for i, e := range all {
		if i%7 == 3 || i == 20 {
			kept = append(kept, e.ID())
			continue
		}
		refs = append(refs, records[e.ID()].Ref())
	}
	slices.Reverse(refs)
	for range 2 {
		must(t, "delete what was read", b.Outbox.Delete(t.Context(), refs))
		same(t, "what is left", slices.Sorted(maps.Keys(waiting(t, b))), slices.Sorted(slices.Values(kept)))
	}
}

func outboxStats(t *testing.T, b Backend) {
	stats := func() outbox.Stats {
		got, err := b.Outbox.Stats(t.Context())
		must(t, "stats", err)
		return got
	}
	same(t, "stats of nothing", stats(), outbox.Stats{})
	first, second, other := fact(objectid.New(), 0), fact(objectid.New(), 1), fact(objectid.New(), 2)
	second.Key = first.Key
	enqueue(t, b, first)
	enqueue(t, b, second)
	enqueue(t, b, other)
	same(t, "stats", stats(), outbox.Stats{Pending: 3, Oldest: first.OccurredAt})
	fail(t, b, second.ID(), noon)
	same(t, "a failure behind the head blocks nothing yet", stats().BlockedKeys, 0)
	fail(t, b, first.ID(), noon)
	fail(t, b, other.ID(), noon)
	same(t, "stats", stats(), outbox.Stats{Pending: 3, Oldest: first.OccurredAt, BlockedKeys: 2})
	_, err := b.Outbox.Relock(t.Context(), []string{first.ID()}, noon)
	must(t, "relock", err)
	same(t, "a key stays blocked while its event is tried again", stats().BlockedKeys, 2) // case 11.10
	must(t, "delete", b.Outbox.Delete(t.Context(), refsTo(first, second)))
	same(t, "stats", stats(), outbox.Stats{Pending: 1, Oldest: other.OccurredAt, BlockedKeys: 1})
}

func outboxList(t *testing.T, b Backend) {
	key := "key" // so that ids sort as their versions do
	var all []event.Event
	for v := range int64(5) {
		all = append(all, fact(key, v+1))
	}
	enqueue(t, b, all...)
	list := func(after string, limit int) []string {
		got, err := b.Outbox.List(t.Context(), after, limit)
		must(t, "list", err)
		return ids(got)
	}
	same(t, "first page", list("", 3), idsOf(all[:3]...))
	same(t, "second page", list(all[2].ID(), 3), idsOf(all[3:]...))
	same(t, "beyond", list(all[4].ID(), 3), nil, empty)
}

// outboxListMany pages through many keys while what was listed is published.
func outboxListMany(t *testing.T, b Backend) {
	var all []event.Event
	for k := range 40 {
		key := objectid.New()
		for v := range int64(k%4 + 1) {
			all = append(all, fact(key, v))
		}
		twin := fact(key, 0) // of the same version
		twin.Subject = event.OrderCancelled
		all = append(all, twin)
	}
	enqueue(t, b, all...)
	var listed []string
	for after := ""; ; {
		page, err := b.Outbox.List(t.Context(), after, 3)
		must(t, "list", err)
		if len(page) == 0 {
			break
		}
		listed = append(listed, ids(page)...)
		last := page[len(page)-1]
		must(t, "delete", b.Outbox.Delete(t.Context(), []outbox.Ref{last.Ref()}))
		after = last.ID()
	}
	same(t, "listed", slices.Sorted(slices.Values(listed)), slices.Sorted(slices.Values(idsOf(all...))))
}

func outboxUnknown(t *testing.T, b Backend) {
	_, err := b.Outbox.Record(t.Context(), "unknown")
	wants(t, "Record", err, outbox.ErrNotFound)
	wants(t, "Retry", b.Outbox.Retry(t.Context(), "unknown", noon), outbox.ErrNotFound)
	wants(t, "Discard", b.Outbox.Discard(t.Context(), "unknown"), outbox.ErrNotFound)
	_, err = b.Outbox.Fail(t.Context(), "unknown", outbox.Failure{At: noon}, noon)
	wants(t, "Fail", err, outbox.ErrNotFound)
}

func outboxRetry(t *testing.T, b Backend) {
	e := fact(objectid.New(), 0)
	enqueue(t, b, e)
	fail(t, b, e.ID(), noon.Add(time.Hour))
	same(t, "due before", due(t, b, noon, 10), nil, empty)
	must(t, "retry", b.Outbox.Retry(t.Context(), e.ID(), noon))
	same(t, "due after", due(t, b, noon, 10), idsOf(e))
	got, err := b.Outbox.Record(t.Context(), e.ID())
	must(t, "read record", err)
	same(t, "failures are kept", got.Failures.Total, 1)
}

func outboxDiscard(t *testing.T, b Backend) {
	key := objectid.New()
	enqueue(t, b, fact(key, 0), fact(key, 1))
	fail(t, b, fact(key, 0).ID(), noon)
	fail(t, b, fact(key, 1).ID(), noon)
	must(t, "discard", b.Outbox.Discard(t.Context(), fact(key, 0).ID()))
	wants(t, "discard again", b.Outbox.Discard(t.Context(), fact(key, 0).ID()), outbox.ErrNotFound)
	same(t, "due", due(t, b, noon, 10), idsOf(fact(key, 1)))
}
