package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/ticket"
)

var tailCases = []testCase{
	{"Scan has what was committed before, Next what comes after", tailBeforeAndAfter},
	{"scan, then next: nothing is missed under 8 writers, and keys keep their order", tailUnderWriters},
	{"a quiet tail delivers the very next commit", tailQuiet},
	{"an emptied outbox delivers the very next commit", tailEmptied},
	{"Next reports an idle tick", tailIdles},
	{"Next ends with its context", tailEnds},
	{"more than a page comes whole and in order", tailMany},
	{"every tail has everything", tailSeveral},
	{"changes that failed are never reported", tailNoPhantoms},
}

func tailBeforeAndAfter(t *testing.T, b Backend) {
	before, after := fact(objectid.New(), 0), fact(objectid.New(), 0)
	enqueue(t, b, before)
	v := newView(openTail(t, b))
	enqueue(t, b, after)
	if got := v.scan(t, 10); !slices.Contains(got, before.ID()) {
		t.Errorf("scan has %v, want what was committed before the tail was opened", got)
	}
	delete(v.seen, after.ID()) // if the scan had it, next must have it all the same
	v.await(t, after.ID())
	r, err := b.Outbox.Record(t.Context(), after.ID())
	must(t, "read record", err)
	same(t, "record", r.Event, after)
}

// tailUnderWriters opens tails while 8 writers commit: what was stored is what
// the tail tells.
func tailUnderWriters(t *testing.T, b Backend) {
	const writers, keys, versions = 8, 3, 15
	var want []string
	all := make([][][]event.Event, writers)
	for w := range all {
		all[w] = make([][]event.Event, keys)
		for k := range all[w] {
			key := objectid.New()
			for v := range int64(versions) {
				all[w][k] = append(all[w][k], fact(key, v))
				want = append(want, fact(key, v).ID())
			}
		}
	}
	views := make(chan *view, 1)
	errs := race(writers+1, func(i int) error {
		if i == writers {
			tail, err := b.Outbox.Tail(t.Context())
			views <- newView(tail)
			return err
		}
		for v := range versions {
			for k := range keys {
				if err := b.Tickets.Commit(t.Context(), ticket.Change{Events: all[i][k][v : v+1]}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, err := range errs {
		must(t, "race", err)
	}
	v := <-views
	t.Cleanup(func() { must(t, "close", v.tail.Close()) })
	v.scan(t, 7)
	v.await(t, want...)
	same(t, "events seen", len(v.seen), len(want))
}

func tailQuiet(t *testing.T, b Backend) {
	v := newView(openTail(t, b))
	same(t, "scan of nothing", v.scan(t, 10), nil, empty)
	for version := range int64(5) {
		e := fact("quiet", version)
		enqueue(t, b, e)
		v.await(t, e.ID())
	}
}

// tailEmptied has the outbox empty before each commit: positions must not be
// used again.
func tailEmptied(t *testing.T, b Backend) {
	enqueue(t, b, fact("emptied", 0))
	must(t, "delete", b.Outbox.Delete(t.Context(), refsTo(fact("emptied", 0))))
	v := newView(openTail(t, b))
	same(t, "scan of nothing", v.scan(t, 10), nil, empty)
	for version := range int64(5) {
		e := fact("emptied", version+1)
		enqueue(t, b, e)
		v.await(t, e.ID())
		must(t, "delete", b.Outbox.Delete(t.Context(), refsTo(e)))
	}
}

func tailIdles(t *testing.T, b Backend) {
	tail := openTail(t, b)
	start := time.Now()
	wake, err := tail.Next(within(t))
	must(t, "next", err)
	if took := time.Since(start); len(wake.Records) > 0 || took > 10*time.Second {
		t.Errorf("a quiet tail gave %d records after %v, want an idle tick within a second or so", len(wake.Records), took)
	}
}

func tailEnds(t *testing.T, b Backend) {
	tail := openTail(t, b)
	ctx, cancel := context.WithCancel(within(t))
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := tail.Next(ctx); err != nil {
				ended <- err
				return
			}
		}
	}()
	cancel()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("Next does not return when its context ends")
	}
}

func tailMany(t *testing.T, b Backend) {
	const commits, each = 26, 100
	v := newView(openTail(t, b))
	var want []string
	for i := range commits {
		var batch []event.Event
		for j := range each {
			batch = append(batch, fact("many", int64(i*each+j)))
		}
		enqueue(t, b, batch...)
		want = append(want, idsOf(batch...)...)
	}
	v.await(t, want...)
	again := newView(openTail(t, b))
	same(t, "scan", again.scan(t, 500), want)
}

func tailSeveral(t *testing.T, b Backend) {
	views := []*view{newView(openTail(t, b)), newView(openTail(t, b)), newView(openTail(t, b))}
	for version := range int64(3) {
		e := fact("several", version)
		enqueue(t, b, e)
		for _, v := range views {
			v.await(t, e.ID())
		}
	}
	must(t, "close one", views[0].tail.Close())
	e := fact("several", 3)
	enqueue(t, b, e)
	views[2].await(t, e.ID())
	// Closed once more by the cleanup, which must be harmless.
}

func tailNoPhantoms(t *testing.T, b Backend) {
	v := newView(openTail(t, b))
	was := create(t, b)
	stale := was
	stale.Revision--
	for _, err := range race(10, func(i int) error {
		if i%2 == 0 {
			return b.Tickets.Commit(t.Context(), ticket.Change{Events: []event.Event{fact(objectid.New(), int64(i))}})
		}
		now := next(stale)
		err := b.Tickets.Commit(t.Context(), ticket.Change{Was: &stale, Now: &now, Events: []event.Event{fact("phantom", int64(i))}})
		return ignore(err, ticket.ErrConflict)
	}) {
		must(t, "race", err)
	}
	last := fact(objectid.New(), 0)
	enqueue(t, b, last)
	v.await(t, last.ID())
	stored := waiting(t, b)
	for _, told := range []map[string]bool{v.seen, v.hinted} {
		for id := range told {
			if _, ok := stored[id]; !ok {
				t.Errorf("the tail reports %s, which is not stored", id)
			}
		}
	}
	same(t, "events seen", len(v.seen), 7)
}
