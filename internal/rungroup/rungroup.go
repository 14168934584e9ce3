package rungroup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Part is something that runs until its context ends and then returns nil. A
// part that returns earlier ends the group.
type Part func(ctx context.Context) error

// Group is a list of stages. The zero value is ready to use; it is filled by
// one goroutine and run once.
type Group struct {
	stages []*stage
}

// Stage adds parts that stop together, after all stages that were added
// before.
func (g *Group) Stage(name string, parts ...Part) {
	g.stages = append(g.stages, &stage{name: name, parts: parts})
}

// OnStop adds a step of the stop: f is called once every stage before has
// ended.
func (g *Group) OnStop(name string, f func() error) {
	g.Stage(name, func(ctx context.Context) error {
		<-ctx.Done()
		return f()
	})
}

// Run runs all parts until ctx ends or one of them does, then stops the stages
// in order. It returns nil if ctx ended and every part returned nil within the
// deadline; otherwise what went wrong, with the names of the stages that were
// still running.
func (g *Group) Run(ctx context.Context, deadline time.Duration) error {
	first := make(chan error, len(g.stages))
	for _, s := range g.stages {
		s.start(context.WithoutCancel(ctx), first)
	}
	var errs []error
	select {
	case <-ctx.Done():
	case err := <-first:
		errs = append(errs, err)
	}
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	for i, s := range g.stages {
		s.cancel()
		select {
		case <-s.ended:
			errs = append(errs, s.errs...)
		case <-timer.C:
			return errors.Join(append(errs, fmt.Errorf("not stopped after %s: %s", deadline, names(g.stages[i:])))...)
		}
	}
	return errors.Join(errs...)
}

func names(stages []*stage) string {
	var all []string
	for _, s := range stages {
		all = append(all, s.name)
	}
	return strings.Join(all, ", ")
}

// stage is a set of parts that stop together.
type stage struct {
	name   string
	parts  []Part
	cancel context.CancelFunc
	ended  chan struct{} // closed when every part has returned

	mu   sync.Mutex
	errs []error // what parts returned after they were told to stop
}

// start runs the parts; the first that ends before it is told to is reported.
func (s *stage) start(ctx context.Context, first chan<- error) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.ended = make(chan struct{})
	var running sync.WaitGroup
	for _, part := range s.parts {
		running.Go(func() { s.run(ctx, part, first) })
	}
	go func() {
		running.Wait()
		close(s.ended)
	}()
}

func (s *stage) run(ctx context.Context, part Part, first chan<- error) {
	err := part(ctx)
	if err != nil {
		err = fmt.Errorf("%s: %w", s.name, err)
	}
	if ctx.Err() == nil {
		if err == nil {
			err = fmt.Errorf("%s: ended by itself", s.name)
		}
		select {
		case first <- err:
		default: // another one ended the group already
		}
		return
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.errs = append(s.errs, err)
	}
}
