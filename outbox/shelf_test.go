package outbox_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"lockstep/event"
	"lockstep/outbox"
)

// shelf is a store in memory for tests of timing: everything real stores do
// is held to real stores elsewhere. It keeps the lease of one name.
type shelf struct {
	mu      sync.Mutex
	records map[string]outbox.Record
	commits []outbox.Record // everything ever committed, in order
	changed chan struct{}   // closed and replaced by each commit
	scanned int             // records that scans returned

	found    func() // called after Due has read
	deaf     bool   // Next reports nothing
	lost     bool   // Next fails once with ErrTailLost
	noRenew  error  // what Renew returns
	noLetGo  bool   // Release does nothing, as in a crash
	lease    outbox.Lease
	until    time.Time
	releases int
}

func newShelf() *shelf {
	return &shelf{records: map[string]outbox.Record{}, changed: make(chan struct{})}
}

// commit writes events as a service does.
func (s *shelf) commit(events ...event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		r := outbox.Record{Event: e, Locked: true, LockedAt: time.Now(), Failures: outbox.Failures{Kept: []outbox.Failure{}}}
		s.records[e.ID()] = r
		s.commits = append(s.commits, r)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// waiting returns what is stored, by key and version.
func (s *shelf) waiting() []outbox.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sorted(func(outbox.Record) bool { return true })
}

func (s *shelf) sorted(want func(outbox.Record) bool) []outbox.Record {
	var all []outbox.Record
	for _, r := range s.records {
		if want(r) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b outbox.Record) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Version, b.Version))
	})
	return all
}

// set changes the shelf's behaviour.
func (s *shelf) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *shelf) Tail(context.Context) (outbox.Tail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &shelfTail{shelf: s, snapshot: s.sorted(func(outbox.Record) bool { return true }), seen: len(s.commits)}, nil
}

type shelfTail struct {
	shelf    *shelf
	snapshot []outbox.Record
	seen     int
}

func (t *shelfTail) Scan(_ context.Context, limit int) ([]outbox.Record, error) {
	n := min(limit, len(t.snapshot))
	page := t.snapshot[:n]
	t.snapshot = t.snapshot[n:]
	t.shelf.set(func() { t.shelf.scanned += n })
	return page, nil
}

func (t *shelfTail) Next(ctx context.Context) (outbox.Wake, error) {
	s := t.shelf
	s.mu.Lock()
	changed, fresh, lost := s.changed, s.commits[t.seen:], s.lost
	t.seen, s.lost = len(s.commits), false
	if s.deaf {
		fresh = nil
	}
	s.mu.Unlock()
	if lost {
		return outbox.Wake{}, outbox.ErrTailLost
	}
	if len(fresh) > 0 {
		return outbox.Wake{Source: outbox.FromCommit, Records: slices.Clone(fresh), InOrder: true}, nil
	}
	select {
	case <-changed:
		return outbox.Wake{}, nil
	case <-time.After(time.Second):
		return outbox.Wake{}, nil
	case <-ctx.Done():
		return outbox.Wake{}, ctx.Err()
	}
}

func (t *shelfTail) Close() error { return nil }

func (s *shelf) Key(_ context.Context, key string, after int64, limit int) ([]outbox.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.sorted(func(r outbox.Record) bool { return r.Key == key && r.Version > after })
	return found[:min(limit, len(found))], nil
}

func (s *shelf) Delete(_ context.Context, refs []outbox.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range refs {
		delete(s.records, r.ID())
	}
	return nil
}

func (s *shelf) Fail(_ context.Context, id string, f outbox.Failure, notBefore time.Time) (outbox.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	if !ok {
		return outbox.Record{}, outbox.ErrNotFound
	}
	r.Locked, r.NotBefore, r.Failures = false, notBefore, r.Failures.Add(f)
	s.records[id] = r
	return r, nil
}

// heads returns the oldest record of each key, if it is wanted.
func (s *shelf) heads(limit int, want func(outbox.Record) bool) ([]outbox.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var heads []outbox.Record
	key := ""
	for _, r := range s.sorted(func(outbox.Record) bool { return true }) {
		if r.Key != key && want(r) && len(heads) < limit {
			heads = append(heads, r)
		}
		key = r.Key
	}
	return heads, nil
}

func (s *shelf) Due(_ context.Context, now, latest time.Time, limit int) ([]outbox.Record, error) {
	defer s.set(func() {
		if s.found != nil {
			s.found()
		}
	})
	return s.heads(limit, func(r outbox.Record) bool { return !r.Locked && (!r.NotBefore.After(now) || r.NotBefore.After(latest)) })
}

func (s *shelf) Stale(_ context.Context, before, latest time.Time, limit int) ([]outbox.Record, error) {
	return s.heads(limit, func(r outbox.Record) bool { return r.Locked && (r.LockedAt.Before(before) || r.LockedAt.After(latest)) })
}

func (s *shelf) Oldest(context.Context) (oldest time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if oldest.IsZero() || r.OccurredAt.Before(oldest) {
			oldest = r.OccurredAt
		}
	}
	return oldest, nil
}

func (s *shelf) Relock(_ context.Context, ids []string, at time.Time) (locked []string, err error) {
	err = s.change(ids, func(r *outbox.Record) {
		r.Locked, r.LockedAt = true, at
		locked = append(locked, r.ID())
	})
	return locked, err
}

// retry is what an operator's Retry does.
func (s *shelf) retry(id string) error {
	return s.change([]string{id}, func(r *outbox.Record) { r.Locked, r.NotBefore = false, time.Now() })
}

func (s *shelf) change(ids []string, f func(*outbox.Record)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if r, ok := s.records[id]; ok {
			f(&r)
			s.records[id] = r
		}
	}
	return nil
}

func (s *shelf) Acquire(_ context.Context, name, owner string, ttl time.Duration) (outbox.Lease, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.until) {
		return outbox.Lease{}, false, nil
	}
	s.lease = outbox.Lease{Name: name, Owner: owner, Epoch: s.lease.Epoch + 1, Settled: s.until.IsZero()}
	s.until = time.Now().Add(ttl)
	return s.lease, true, nil
}

func (s *shelf) Renew(_ context.Context, l outbox.Lease, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noRenew != nil {
		return s.noRenew
	}
	if l != s.lease || !time.Now().Before(s.until) {
		return outbox.ErrLeaseLost
	}
	s.until = time.Now().Add(ttl)
	return nil
}

func (s *shelf) Release(_ context.Context, l outbox.Lease) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Epoch == s.lease.Epoch && !s.noLetGo {
		s.until = time.Time{}
		if !l.Settled {
			s.until = time.Unix(0, 1)
		}
		s.releases++
	}
	return nil
}

// steal gives the lease to somebody else.
func (s *shelf) steal(ttl time.Duration) {
	s.set(func() {
		s.lease = outbox.Lease{Name: s.lease.Name, Owner: "thief", Epoch: s.lease.Epoch + 1}
		s.until = time.Now().Add(ttl)
	})
}
