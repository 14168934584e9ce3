package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"lockstep/event"
	"lockstep/internal/rungroup"
	"lockstep/listeners"
)

// fillingMark names the mark that says how far the filling of a replica is. It
// is no channel of the broker's. Its sequence is one of fillBegun and fillEnded.
const fillingMark event.Subject = "replica:filling"

const (
	fillBegun = 1
	fillEnded = 2
)

// beginPause is how long a store that did not answer is left alone.
const beginPause = time.Second

// filling knows whether a replica that was empty when it was first looked at
// has been filled from its owner since, by any process, over restarts. Until
// then a process is not ready: it would refuse what others sell.
type filling struct {
	marks listeners.Marks
	count func(context.Context) (int, error)
	ended atomic.Bool

	mu     sync.Mutex
	failed error // why the last attempt failed
}

// check is a check of readiness.
func (f *filling) check(ctx context.Context) error {
	if f.ended.Load() {
		return nil
	}
	ended, err := f.begin(ctx)
	if err != nil {
		return fmt.Errorf("it is not known yet whether the replica was filled: %w", err)
	}
	if ended {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return fmt.Errorf("the replica was not filled from its owner yet: see that CANONICAL_URL answers; the last attempt: %w", f.failed)
	}
	return fmt.Errorf("the replica was empty and is being filled from its owner")
}

// begin reports whether the replica has been filled. The first call of all
// decides whether it has to be, so it comes before any message does.
func (f *filling) begin(ctx context.Context) (ended bool, err error) {
	m, err := f.marks.Mark(ctx, listeners.OrdersService, fillingMark)
	if err == nil && m.Sequence == 0 {
		m, err = f.first(ctx, m)
	}
	if err == nil && m.Sequence == fillEnded {
		f.ended.Store(true)
	}
	return f.ended.Load(), err
}

func (f *filling) first(ctx context.Context, m listeners.Mark) (listeners.Mark, error) {
	n, err := f.count(ctx)
	if err != nil {
		return m, err
	}
	if m.Sequence = fillBegun; n > 0 {
		m.Sequence = fillEnded
	}
	stored, err := f.marks.Store(ctx, m)
	if err == nil && !stored { // another process was faster
		return f.marks.Mark(ctx, listeners.OrdersService, fillingMark)
	}
	return m, err
}

// tried is told how a comparison with the owner ended.
func (f *filling) tried(ctx context.Context, err error) {
	if f.ended.Load() {
		return
	}
	if err == nil {
		var m listeners.Mark
		if m, err = f.marks.Mark(ctx, listeners.OrdersService, fillingMark); err == nil {
			m.Sequence = fillEnded
			_, err = f.marks.Store(ctx, m) // if another process was faster, it is the same
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
	if err == nil {
		f.ended.Store(true)
	}
}

// before returns a part that runs once it is decided whether the replica has to
// be filled.
func (f *filling) before(run rungroup.Part) rungroup.Part {
	return func(ctx context.Context) error {
		for ctx.Err() == nil {
			if _, err := f.begin(ctx); err == nil {
				return run(ctx)
			}
			pause := time.NewTimer(beginPause)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
		return nil
	}
}
