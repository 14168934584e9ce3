package outbox

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff says how long a failed event waits for its next attempt: Base after
// the first failure, Factor times as long after each further one, at most Cap.
// The last half of every wait is random, so that events which failed together
// do not come back together.
type Backoff struct {
	Base   time.Duration // default 1 s
	Factor float64       // default 2
	Cap    time.Duration // default 5 min
}

// delay returns the wait after the given number of failures, at least one.
func (b Backoff) delay(failures int) time.Duration {
	d := float64(b.Base)
	for range failures - 1 {
		if d >= float64(b.Cap) {
			break
		}
		d *= b.Factor
	}
	return jitter(time.Duration(min(d, float64(b.Cap))))
}

// trouble paces attempts at something that ought to work at once: the store,
// or a connection that was just reported to be there.
var trouble = Backoff{Base: 20 * time.Millisecond, Factor: 2, Cap: 5 * time.Second}

// jitter returns a duration between half of d and d.
func jitter(d time.Duration) time.Duration {
	if d < 2 {
		return d
	}
	return d/2 + rand.N(d/2)
}

// wait returns after d, or with ctx's error.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
