package spawn

import (
	"testing"
	"time"
)

const patience = 30 * time.Second // of Until

// Until waits until something holds, and ends the test if it does not within
// thirty seconds.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Within(t, patience, what, holds)
}

// Within waits until something holds, and ends the test if it does not within
// the limit. It looks the less often the longer it takes: looks that ask a
// service keep both processors from those who are waited for.
func Within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	const shortest, longest = 5 * time.Millisecond, 100 * time.Millisecond
	began := time.Now()
	for !holds() {
		waited := time.Since(began)
		if waited > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		<-time.After(min(max(waited/10, shortest), longest))
	}
}

// Pause lets something last, such as a fault, but not longer than the test.
func Pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
