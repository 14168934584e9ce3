package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"lockstep/incident"
	"lockstep/listeners"
)

const (
	lookEvery = 5 * time.Second
	eventPage = 256 // events looked at each time

	// storeSilence is how long a store may refuse writes before that is an
	// incident: longer than the election of a primary.
	storeSilence = 15 * time.Second

	// quarantineSettles is how long too many messages must be in quarantine:
	// early ones pass through it in a flood and are applied from there.
	quarantineSettles = 15 * time.Second
)

// lookout looks at a service now and then, for incidents that nobody raises and
// for the end of those that are open.
type lookout struct {
	s     *service
	alert int // messages in quarantine that are too many

	counted  atomic.Pointer[counted] // messages in quarantine as of the last look; nil before the first one
	over     time.Time               // since when they are too many; zero if they are not
	grown    *bool                   // whether that was raised; nil before the first look
	writes   *bool                   // whether the store took writes; nil before the first look
	since    time.Time               // when it ceased to
	refusal  atomic.Pointer[error]   // why it has not for long, as of the last look
	recorded []*recorded
}

// counted is a number, or why it is not known.
type counted struct {
	n   int
	err error
}

func newLookout(s *service, alert int) *lookout {
	return &lookout{s: s, alert: alert, recorded: []*recorded{s.unpublished()}}
}

// run looks until ctx ends.
func (l *lookout) run(ctx context.Context) error {
	looks := []func(context.Context) error{l.store, l.quarantine}
	for _, r := range l.recorded {
		looks = append(looks, r.look)
	}
	for {
		for _, look := range looks {
			if err := bounded(ctx, look); err != nil && ctx.Err() == nil {
				l.s.log.DebugContext(ctx, "incidents cannot be looked for", "err", err) // the store says so elsewhere
			}
		}
		pause := time.NewTimer(lookEvery + rand.N(lookEvery/4))
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

func bounded(ctx context.Context, look func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	return look(ctx)
}

// store writes something, and raises a store that has refused it for long.
func (l *lookout) store(ctx context.Context) error {
	began := time.Now()
	err := l.s.store.ping(ctx)
	if err == nil { // one name and owner for all processes: it is always taken, that is written
		_, _, err = l.s.store.outbox.Acquire(ctx, "probe", "probe", lookEvery)
	}
	switch {
	case err == nil:
		l.since = time.Time{}
		l.refusal.Store(nil)
		if changed(&l.writes, true) {
			l.raiseStopped()
			l.s.incidents.Resolve(incident.StoreStopped, "store", "the store takes writes again")
		}
	case l.since.IsZero():
		l.since = began
	case time.Since(l.since) >= storeSilence:
		refusal := fmt.Errorf("the store has refused writes since %s: %w", l.since.UTC().Format(time.RFC3339), err)
		l.refusal.Store(&refusal)
		if changed(&l.writes, false) {
			l.s.incidents.Raise(incident.StoreStopped, "store", fmt.Sprintf(
				"%v. Requests that change something fail. See /readyz and the runbook, \"A store takes no more writes\"", refusal))
		}
	}
	return err
}

// storeWritten is a check of readiness: the store is well, and takes writes.
func (l *lookout) storeWritten(ctx context.Context) error {
	if err := l.s.store.ping(ctx); err != nil {
		return err
	}
	if refusal := l.refusal.Load(); refusal != nil {
		return *refusal
	}
	return nil
}

// raiseStopped raises what the last process told of and could not record, so that
// its end is told too.
func (l *lookout) raiseStopped() {
	if why := l.s.store.stopped; why != "" {
		l.s.store.stopped = ""
		l.s.incidents.Raise(incident.StoreStopped, "store", "before this start the store took no more writes: "+why)
	}
}

// quarantine counts what was set aside.
func (l *lookout) quarantine(ctx context.Context) error {
	n, err := l.s.store.quarantine.Count(ctx)
	l.counted.Store(&counted{n, err})
	if err != nil {
		return err
	}
	switch {
	case n <= l.alert:
		l.over = time.Time{}
	case l.over.IsZero():
		l.over = time.Now()
	}
	switch {
	case n > l.alert && time.Since(l.over) >= quarantineSettles && changed(&l.grown, true):
		l.s.incidents.Raise(incident.QuarantineGrown, "quarantine", fmt.Sprintf(
			"%d messages are in quarantine, more than %d (QUARANTINE_ALERT): what is in them was not applied. To see why: lockstep replica quarantine", n, l.alert))
	case n <= l.alert/2 && changed(&l.grown, false):
		l.s.incidents.Resolve(incident.QuarantineGrown, "quarantine", fmt.Sprintf("%d messages are left", n))
	}
	return nil
}

// quarantineEmpty is a check of readiness: no message is there, or about to be.
func (l *lookout) quarantineEmpty(context.Context) error {
	for _, listener := range l.s.listeners {
		if err := listener.Check(); errors.Is(err, listeners.ErrQuarantineFull) {
			return err
		}
	}
	switch c := l.counted.Load(); {
	case c == nil:
		return errors.New("messages in quarantine were not counted yet")
	case c.err != nil:
		return fmt.Errorf("messages in quarantine cannot be counted: %w", c.err)
	case c.n > 0:
		return fmt.Errorf("%d messages are in quarantine and were not applied: see lockstep replica quarantine", c.n)
	}
	for _, listener := range l.s.listeners {
		if err := listener.Failing(); err != nil {
			return err
		}
	}
	return nil
}

// changed sets what is known and reports whether it was not so before.
func changed(known **bool, now bool) bool {
	if *known != nil && **known == now {
		return false
	}
	*known = &now
	return true
}
