package listeners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"lockstep/event"
)

// panicError says that the code which decodes or handles a message panicked on
// it. It would again, so the message is set aside at once.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprint("panic: ", e.value) }

// recovered returns what recover gave as an error. It must be called by the
// deferred function itself, for the stack.
func recovered(v any) error { return &panicError{v, debug.Stack()} }

// guard holds a handler to its contract: it recovers from panics, gives a
// verdict on every item, and finds the items for which a whole batch failed.
type guard struct {
	Handler
	log    *slog.Logger
	logged atomic.Int64 // when a panic was logged last, in Unix nanoseconds
}

// Decode implements Handler. A panic becomes an error like any other.
func (g *guard) Decode(subject event.Subject, payload []byte) (item Item, err error) {
	defer func() {
		if v := recover(); v != nil {
			item, err = Item{}, recovered(v)
			g.report(err)
		}
	}()
	return g.Handler.Decode(subject, payload)
}

// Handle implements Handler. If a batch fails as a whole, its halves are
// handled by themselves, and so on: one item that cannot be handled does not
// fail its neighbours.
func (g *guard) Handle(ctx context.Context, items []Item) []Verdict {
	s := search{guard: g, succeeded: time.Now()}
	return s.handle(ctx, items)
}

// try has items handled in one call.
func (g *guard) try(ctx context.Context, items []Item) (verdicts []Verdict) {
	defer func() {
		if v := recover(); v != nil {
			verdicts = all(len(items), recovered(v))
		}
		for _, v := range verdicts {
			g.report(v.Err)
		}
	}()
	verdicts = g.Handler.Handle(ctx, items)
	if len(verdicts) != len(items) {
		return all(len(items), fmt.Errorf("handler gave %d verdicts on %d items", len(verdicts), len(items)))
	}
	for i, v := range verdicts {
		if v.Err == nil && v.Outcome != event.Applied && v.Outcome != event.Duplicate && v.Outcome != event.Early {
			verdicts[i].Err = fmt.Errorf("handler gave the unknown outcome %d", v.Outcome)
		}
	}
	return verdicts
}

// report logs a panic, from time to time while there are more.
func (g *guard) report(err error) {
	var p *panicError
	if err == nil || !errors.As(err, &p) {
		return
	}
	now, last := time.Now().UnixNano(), g.logged.Load()
	if time.Duration(now-last) >= reportEvery && g.logged.CompareAndSwap(last, now) {
		g.log.Error("the handler of a message panicked", "panic", p.value, "stack", string(p.stack))
	}
}

// Bounds of a search: when so many parts in a row failed, or none succeeded for
// so long, it is the store that fails.
const (
	maxMisses = 12 // a part of one item of 1,024 is the eleventh
	missesFor = time.Second
)

// search looks for the items for which a batch fails.
type search struct {
	*guard
	misses    int       // parts that failed since one did not
	succeeded time.Time // when one did not
}

func (s *search) handle(ctx context.Context, items []Item) []Verdict {
	verdicts := s.try(ctx, items)
	if !allFailed(verdicts) {
		s.misses, s.succeeded = 0, time.Now()
		return verdicts
	}
	s.misses++
	if half := len(items) / 2; half > 0 {
		for _, part := range [][2]int{{0, half}, {half, len(items)}} {
			if ctx.Err() == nil && s.misses < maxMisses && time.Since(s.succeeded) < missesFor {
				copy(verdicts[part[0]:part[1]], s.handle(ctx, items[part[0]:part[1]]))
			}
		}
	}
	return verdicts
}

func allFailed(verdicts []Verdict) bool {
	return !slices.ContainsFunc(verdicts, func(v Verdict) bool { return v.Err == nil })
}
