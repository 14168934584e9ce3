package main

import (
	"context"
	"errors"
	"fmt"
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

// filling knows whether a replica that was found empty, at a start or later, has
// been filled from its owner since, by any process, over restarts. Until then a
// process is not ready: it would refuse what others sell.
type filling struct {
	marks listeners.Marks
	count func(context.Context) (int, error)

	turn    chan struct{} // holds one while the mark is read and changed, so that nobody acts on an old one
	decided bool          // whether the replica is empty
	failed  error         // why the last attempt failed
}

func newFilling(marks listeners.Marks, count func(context.Context) (int, error)) *filling {
	return &filling{marks: marks, count: count, turn: make(chan struct{}, 1)}
}

// check is a check of readiness.
func (f *filling) check(ctx context.Context) error {
	var ended bool
	var failed error
	err := f.alone(ctx, func() (err error) {
		failed = f.failed
		ended, err = f.look(ctx)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("it is not known whether the replica was filled: %w", err)
	case ended:
		return nil
	case failed != nil:
		return fmt.Errorf("the replica was not filled from its owner yet: see that CANONICAL_URL answers; the last attempt: %w", failed)
	}
	return errors.New("the replica was empty and is being filled from its owner")
}

// begin reports whether the replica has been filled. The first call decides
// whether it has to be, so it comes before any message does.
func (f *filling) begin(ctx context.Context) (ended bool, err error) {
	err = f.alone(ctx, func() (err error) {
		ended, err = f.look(ctx)
		return err
	})
	return ended, err
}

// emptied is told that the replica has lost its rows: whether it has to be
// filled is decided again.
func (f *filling) emptied(ctx context.Context) {
	_ = f.alone(ctx, func() error { f.decided = false; return nil }) // its error is ctx's
}

// tried is told how a comparison with the owner ended.
func (f *filling) tried(ctx context.Context, err error) {
	_ = f.alone(ctx, func() error { f.failed = f.end(ctx, err); return nil }) // its error is ctx's
}

// alone calls do while nobody else reads or changes anything.
func (f *filling) alone(ctx context.Context, do func() error) error {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-f.turn }()
	return do()
}

// look is begin for who is alone.
func (f *filling) look(ctx context.Context) (ended bool, err error) {
	m, err := f.mark(ctx)
	if err == nil && !f.decided {
		m, err = f.decide(ctx, m)
	}
	if err != nil {
		return false, err
	}
	f.decided = true
	return m.Sequence != fillBegun, nil
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

// end takes note that the replica was filled, unless a comparison failed.
func (f *filling) end(ctx context.Context, failed error) error {
	if failed != nil {
		return failed
	}
	m, err := f.mark(ctx)
	if err == nil && m.Sequence == fillBegun {
		m.Sequence = fillEnded
		_, err = f.marks.Store(ctx, m) // if another process was faster, it is the same
	}
	return err
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
