package main

import (
	"context"
	"errors"
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

// filling knows whether a replica that was empty when a process began has been
// filled from its owner since, by any process, over restarts. Until then a
// process is not ready: it would refuse what others sell.
type filling struct {
	marks listeners.Marks
	count func(context.Context) (int, error)

	ended atomic.Bool

	mu      sync.Mutex // held while the mark is read and changed, so that nobody acts on an old one
	decided bool       // whether the replica was empty
	failed  error      // why the last attempt failed
}

// check is a check of readiness.
func (f *filling) check(ctx context.Context) error {
	if f.ended.Load() {
		return nil
	}
	if !f.mu.TryLock() {
		return errors.New("it is being looked up whether the replica was filled")
	}
	defer f.mu.Unlock()
	if err := f.look(ctx); err != nil {
		return fmt.Errorf("it is not known yet whether the replica was filled: %w", err)
	}
	if f.ended.Load() {
		return nil
	}
	if f.failed != nil {
		return fmt.Errorf("the replica was not filled from its owner yet: see that CANONICAL_URL answers; the last attempt: %w", f.failed)
	}
	return errors.New("the replica was empty and is being filled from its owner")
}

// begin reports whether the replica has been filled. The first call decides
// whether it has to be, so it comes before any message does.
func (f *filling) begin(ctx context.Context) (ended bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err = f.look(ctx)
	return f.ended.Load(), err
}

// look is begin for who holds mu.
func (f *filling) look(ctx context.Context) error {
	m, err := f.mark(ctx)
	if err == nil && !f.decided {
		m, err = f.decide(ctx, m)
	}
	if err != nil {
		return err
	}
	f.decided = true
	f.ended.Store(m.Sequence != fillBegun)
	return nil
}

func (f *filling) mark(ctx context.Context) (listeners.Mark, error) {
	return f.marks.Mark(ctx, listeners.OrdersService, fillingMark)
}

// decide lets the filling of an empty replica begin. One that a process was
// killed in goes on.
func (f *filling) decide(ctx context.Context, m listeners.Mark) (listeners.Mark, error) {
	n, err := f.count(ctx)
	if err != nil {
		return m, err
	}
	if n == 0 && m.Sequence != fillBegun {
		m.Sequence = fillBegun
		if _, err := f.marks.Store(ctx, m); err != nil {
			return m, err
		}
	}
	return f.mark(ctx) // another process may have been faster
}

// tried is told how a comparison with the owner ended.
func (f *filling) tried(ctx context.Context, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended.Load() {
		return
	}
	if err == nil {
		var m listeners.Mark
		if m, err = f.mark(ctx); err == nil {
			m.Sequence = fillEnded
			_, err = f.marks.Store(ctx, m) // if another process was faster, it is the same
		}
	}
	if f.failed = err; err == nil {
		f.failed = f.look(ctx)
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
