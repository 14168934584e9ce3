package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/outbox"
)

var failureCases = []testCase{
	{"Fail unlocks the record and returns it as it is now", failReturnsRecord},
	{"of many failures the first and the latest are kept", failBounded},
	{"failing at once loses no failure", failRace},
	{"Fail after Delete is ErrNotFound", failAfterDelete},
	{"Due gives the oldest of each key whose time has come", dueHeads},
	{"Stale gives the oldest of each key that was locked long ago", staleHeads},
	{"Relock locks at the given time and minds no unknown ids", relock},
}

func fail(t *testing.T, b Backend, id string, notBefore time.Time) outbox.Record {
	t.Helper()
	r, err := b.Outbox.Fail(t.Context(), id, outbox.Failure{At: noon, Class: outbox.Unconfirmed, Message: "no answer"}, notBefore)
	must(t, "fail", err)
	return r
}

func due(t *testing.T, b Backend, now time.Time, limit int) []string {
	t.Helper()
	got, err := b.Outbox.Due(t.Context(), now, now.Add(time.Hour), limit)
	must(t, "due", err)
	return ids(got)
}

func stale(t *testing.T, b Backend, before time.Time, limit int) []string {
	t.Helper()
	got, err := b.Outbox.Stale(t.Context(), before, before.Add(1000*time.Hour), limit)
	must(t, "stale", err)
	return ids(got)
}

// unlocked leaves out when a lock was taken that is none any more, and the number
// that is the store's own.
var unlocked = cmpopts.IgnoreFields(outbox.Record{}, "LockedAt", "Position")

func failReturnsRecord(t *testing.T, b Backend) {
	for i, text := range texts {
		e := fact(objectid.New(), int64(i))
		enqueue(t, b, e)
		f := outbox.Failure{At: noon.Add(time.Millisecond), Class: outbox.Rejected, Message: text}
		got, err := b.Outbox.Fail(t.Context(), e.ID(), f, noon.Add(time.Hour))
		must(t, "fail", err)
		f.Attempt = 1
		want := outbox.Record{Event: e, NotBefore: noon.Add(time.Hour), Failures: outbox.Failures{Total: 1, Kept: []outbox.Failure{f}}}
		same(t, "returned record", got, want, unlocked)
		got, err = b.Outbox.Record(t.Context(), e.ID())
		must(t, "read record", err)
		same(t, "stored record", got, want, unlocked)
	}
}

func failBounded(t *testing.T, b Backend) {
	e := fact(objectid.New(), 0)
	enqueue(t, b, e)
	var want outbox.Failures
	for i := range outbox.KeptFailures + 5 {
		f := outbox.Failure{At: noon.Add(time.Duration(i) * time.Second), Class: outbox.Unconfirmed, Message: fmt.Sprint("failure ", i+1)}
		want = want.Add(f)
		got, err := b.Outbox.Fail(t.Context(), e.ID(), f, noon)
		must(t, "fail", err)
		same(t, "returned failures", got.Failures, want)
	}
	got, err := b.Outbox.Record(t.Context(), e.ID())
	must(t, "read record", err)
	same(t, "stored failures", got.Failures, want)
	same(t, "failures kept", len(got.Failures.Kept), outbox.KeptFailures)
	same(t, "first failure", got.Failures.Kept[0].Attempt, 1)
}

func failRace(t *testing.T, b Backend) {
	const n = 12
	e := fact(objectid.New(), 0)
	enqueue(t, b, e)
	for _, err := range race(n, func(int) error {
		_, err := b.Outbox.Fail(t.Context(), e.ID(), outbox.Failure{At: noon, Class: outbox.Rejected}, noon)
		return err
	}) {
		must(t, "fail", err)
	}
	got, err := b.Outbox.Record(t.Context(), e.ID())
	must(t, "read record", err)
	same(t, "failures in total", got.Failures.Total, n)
	same(t, "latest attempt", got.Failures.Kept[len(got.Failures.Kept)-1].Attempt, n)
}

func failAfterDelete(t *testing.T, b Backend) {
	e := fact(objectid.New(), 0)
	enqueue(t, b, e)
	must(t, "delete", b.Outbox.Delete(t.Context(), refsTo(e)))
	_, err := b.Outbox.Fail(t.Context(), e.ID(), outbox.Failure{At: noon}, noon)
	wants(t, "fail", err, outbox.ErrNotFound)
	same(t, "records", len(waiting(t, b)), 0)
}

func dueHeads(t *testing.T, b Backend) {
	two, behind, later, locked := objectid.New(), objectid.New(), objectid.New(), objectid.New()
	enqueue(t, b, fact(two, 3), fact(two, 4), fact(behind, 0), fact(behind, 1), fact(later, 0), fact(locked, 0))
	fail(t, b, fact(two, 3).ID(), noon)
	fail(t, b, fact(two, 4).ID(), noon.Add(-time.Hour)) // due, but not before its predecessor
	fail(t, b, fact(behind, 1).ID(), noon.Add(-time.Hour))
	fail(t, b, fact(later, 0).ID(), noon.Add(time.Millisecond))

	same(t, "due at noon", due(t, b, noon, 10), idsOf(fact(two, 3)))
	same(t, "due before noon", due(t, b, noon.Add(-time.Millisecond), 10), nil, empty)
	same(t, "due after noon, sorted", sorted(due(t, b, noon.Add(time.Millisecond), 10)), sorted(idsOf(fact(two, 3), fact(later, 0))))
	same(t, "no more than asked for", len(due(t, b, noon.Add(time.Hour), 1)), 1)
	must(t, "delete", b.Outbox.Delete(t.Context(), refsTo(fact(two, 3), fact(behind, 0))))
	same(t, "due when the heads are gone, sorted", sorted(due(t, b, noon, 10)), sorted(idsOf(fact(two, 4), fact(behind, 1))))
}

func staleHeads(t *testing.T, b Backend) {
	long, short, failed := objectid.New(), objectid.New(), objectid.New()
	all := []event.Event{fact(long, 5), fact(long, 6), fact(short, 0), fact(failed, 0), fact(failed, 1)}
	enqueue(t, b, all...)
	lock := func(at time.Time, events ...event.Event) {
		t.Helper()
		_, err := b.Outbox.Relock(t.Context(), idsOf(events...), at)
		must(t, "relock", err)
	}
	lock(noon.Add(-time.Hour), fact(long, 5), fact(long, 6), fact(failed, 1))
	lock(noon, fact(short, 0))
	fail(t, b, fact(failed, 0).ID(), noon.Add(-time.Hour))

	same(t, "stale", stale(t, b, noon, 10), idsOf(fact(long, 5)))
	same(t, "stale before that", stale(t, b, noon.Add(-time.Hour), 10), nil, empty)
	same(t, "stale later, sorted", sorted(stale(t, b, noon.Add(time.Millisecond), 10)), sorted(idsOf(fact(long, 5), fact(short, 0))))
	same(t, "no more than asked for", len(stale(t, b, noon.Add(time.Hour), 1)), 1)
}

func relock(t *testing.T, b Backend) {
	e, other := fact(objectid.New(), 0), fact(objectid.New(), 0)
	enqueue(t, b, e, other)
	fail(t, b, e.ID(), noon)
	fail(t, b, other.ID(), noon)
	_, err := b.Outbox.Relock(t.Context(), nil, noon)
	must(t, "relock nothing", err)
	locked, err := b.Outbox.Relock(t.Context(), []string{"unknown", e.ID()}, noon.Add(time.Second))
	must(t, "relock", err)
	same(t, "locked ids", locked, idsOf(e))
	same(t, "due", due(t, b, noon.Add(time.Hour), 10), idsOf(other))
	got, err := b.Outbox.Record(t.Context(), e.ID())
	must(t, "read record", err)
	same(t, "locked", got.Locked, true)
	same(t, "locked at", got.LockedAt, noon.Add(time.Second))
	same(t, "failures are kept", got.Failures.Total, 1)
}
