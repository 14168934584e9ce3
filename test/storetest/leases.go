package storetest

import (
	"testing"
	"time"

	"lockstep/outbox"
)

var leaseCases = []testCase{
	{"a lease is exclusive", leaseExclusive},
	{"of 8 owners at once, one gets the lease", leaseOneOwner},
	{"epochs rise with each acquisition and never fall", leaseEpochs},
	{"a lease runs out", leaseExpires},
	{"a renewed lease does not run out", leaseRenewed},
	{"a zombie can neither renew nor release", leaseZombie},
	{"after a release the next owner gets in at once", leaseReleased},
	{"a lease tells whether its last holder left anything open", leaseSettled},
	{"leases of different names do not mind each other", leaseNames},
}

const (
	long  = time.Hour
	brief = 250 * time.Millisecond
)

func acquire(t *testing.T, b Backend, name, owner string, ttl time.Duration) (outbox.Lease, bool) {
	t.Helper()
	l, ok, err := b.Outbox.Acquire(t.Context(), name, owner, ttl)
	must(t, "acquire", err)
	if ok {
		same(t, "owner", l.Owner, owner)
		same(t, "name", l.Name, name)
	}
	return l, ok
}

func mustAcquire(t *testing.T, b Backend, name, owner string, ttl time.Duration) outbox.Lease {
	t.Helper()
	l, ok := acquire(t, b, name, owner, ttl)
	if !ok {
		t.Fatalf("%s does not get the lease", owner)
	}
	return l
}

// refused reports whether owner is kept out.
func refused(t *testing.T, b Backend, name, owner string) {
	t.Helper()
	if l, ok := acquire(t, b, name, owner, long); ok {
		t.Errorf("%s got the lease with epoch %d, want it kept out", owner, l.Epoch)
	}
}

// awaitLease tries until owner gets the lease.
func awaitLease(t *testing.T, b Backend, name, owner string) outbox.Lease {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	deadline := within(t)
	for {
		if l, ok := acquire(t, b, name, owner, long); ok {
			return l
		}
		select {
		case <-again.C:
		case <-deadline.Done():
			t.Fatalf("%s never gets the lease", owner)
		}
	}
}

func leaseExclusive(t *testing.T, b Backend) {
	mustAcquire(t, b, "relay", "a", long)
	refused(t, b, "relay", "b")
	refused(t, b, "relay", "c")
}

func leaseOneOwner(t *testing.T, b Backend) {
	for round := range 5 {
		name := string(rune('a' + round))
		got := make([]bool, 8)
		for _, err := range race(len(got), func(i int) (err error) {
			_, got[i], err = b.Outbox.Acquire(t.Context(), name, string(rune('A'+i)), long)
			return err
		}) {
			must(t, "acquire", err)
		}
		owners := 0
		for _, ok := range got {
			if ok {
				owners++
			}
		}
		same(t, "owners", owners, 1)
	}
}

func leaseEpochs(t *testing.T, b Backend) {
	last := int64(0)
	for i := range 6 {
		l := mustAcquire(t, b, "relay", string(rune('a'+i/2)), long) // every owner comes twice
		if l.Epoch <= last {
			t.Errorf("epoch %d after %d, want it to rise", l.Epoch, last)
		}
		last = l.Epoch
		if i%2 == 0 {
			continue // the same owner again, without a release
		}
		must(t, "release", b.Outbox.Release(t.Context(), l))
	}
}

func leaseExpires(t *testing.T, b Backend) {
	start := time.Now()
	old := mustAcquire(t, b, "relay", "a", brief)
	now := awaitLease(t, b, "relay", "b")
	if took := time.Since(start); took < brief-10*time.Millisecond {
		t.Errorf("the lease of %v was taken over after %v", brief, took)
	}
	if now.Epoch <= old.Epoch {
		t.Errorf("epoch %d after %d, want it to rise", now.Epoch, old.Epoch)
	}
}

func leaseRenewed(t *testing.T, b Backend) {
	kept := mustAcquire(t, b, "kept", "a", brief)
	must(t, "renew", b.Outbox.Renew(t.Context(), kept, long))
	mustAcquire(t, b, "lost", "a", brief)
	awaitLease(t, b, "lost", "b") // by now the first term of the renewed lease is over, too
	refused(t, b, "kept", "b")
	must(t, "renew again", b.Outbox.Renew(t.Context(), kept, long))
}

func leaseZombie(t *testing.T, b Backend) {
	late := mustAcquire(t, b, "untouched", "a", brief)
	zombie := mustAcquire(t, b, "relay", "a", brief)
	awaitLease(t, b, "relay", "b")
	wants(t, "renew", b.Outbox.Renew(t.Context(), zombie, long), outbox.ErrLeaseLost)
	wants(t, "renew what has run out", b.Outbox.Renew(t.Context(), late, long), outbox.ErrLeaseLost)
	must(t, "release", b.Outbox.Release(t.Context(), zombie))
	refused(t, b, "relay", "c")

	// The same owner with an older epoch is a zombie of itself.
	first := mustAcquire(t, b, "own", "a", long)
	second := mustAcquire(t, b, "own", "a", long)
	wants(t, "renew an older epoch", b.Outbox.Renew(t.Context(), first, long), outbox.ErrLeaseLost)
	must(t, "release an older epoch", b.Outbox.Release(t.Context(), first))
	refused(t, b, "own", "b")
	must(t, "renew the latest epoch", b.Outbox.Renew(t.Context(), second, long))
	wants(t, "renew a lease that nobody has", b.Outbox.Renew(t.Context(), outbox.Lease{Name: "nobody", Owner: "a", Epoch: 1}, long), outbox.ErrLeaseLost)
}

func leaseReleased(t *testing.T, b Backend) {
	old := mustAcquire(t, b, "relay", "a", long)
	must(t, "release", b.Outbox.Release(t.Context(), old))
	wants(t, "renew after the release", b.Outbox.Renew(t.Context(), old, long), outbox.ErrLeaseLost)
	l := mustAcquire(t, b, "relay", "b", long)
	if l.Epoch <= old.Epoch {
		t.Errorf("epoch %d after %d, want it to rise", l.Epoch, old.Epoch)
	}
	must(t, "release again", b.Outbox.Release(t.Context(), old))
	refused(t, b, "relay", "c")
}

func leaseNames(t *testing.T, b Backend) {
	one := mustAcquire(t, b, "one", "a", long)
	mustAcquire(t, b, "two", "b", long)
	must(t, "release", b.Outbox.Release(t.Context(), one))
	refused(t, b, "two", "a")
}

// Case 9.3.
func leaseSettled(t *testing.T, b Backend) {
	for i, settled := range []bool{false, true, false} {
		l := mustAcquire(t, b, "relay", string(rune('a'+i)), long)
		same(t, "the first one, or after one that left nothing, is settled", l.Settled, i != 1)
		l.Settled = settled
		must(t, "release", b.Outbox.Release(t.Context(), l))
	}
	same(t, "after one that left something", mustAcquire(t, b, "relay", "d", brief).Settled, false)
	same(t, "after one that did not release", awaitLease(t, b, "relay", "e").Settled, false)
}
