package outbox

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestABatchWaitsForOthersButNotForLong(t *testing.T) {
	t.Parallel()
	const delay = 25 * time.Millisecond
	for _, tc := range []struct {
		name string
		more bool // events are with the broker
		want time.Duration
	}{
		{"nothing more comes", false, delay},
		{"more is under way", true, 4 * delay},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := batch{size: 3, delay: delay}
			for range 2 {
				began := time.Now()
				b.add(Ref{Key: "a"})
				b.add(Ref{Key: "b"})
				for !b.ready() {
					<-b.timer
					b.waited(tc.more)
				}
				if got := time.Since(began); got != tc.want || len(b.refs) != 2 {
					t.Errorf("%s: %d events are deleted after %v, want 2 after %v", tc.name, len(b.refs), got, tc.want)
				}
				b.taken()
				if b.ready() || b.timer != nil {
					t.Errorf("%s: a batch that was taken is to be deleted again", tc.name)
				}
			}
		})
	}
}

func TestAFullBatchWaitsForNothing(t *testing.T) {
	t.Parallel()
	b := batch{size: 3, delay: time.Hour}
	for i := range 3 {
		if b.ready() {
			t.Fatalf("a batch of %d of 3 is deleted at once", i)
		}
		b.add(Ref{Key: "a", Version: int64(i)})
	}
	if !b.ready() {
		t.Error("a full batch waits")
	}
}
