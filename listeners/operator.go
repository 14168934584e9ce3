package listeners

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"lockstep/event"
)

// ErrTooEarly: the message waits for a predecessor that is still missing.
var ErrTooEarly = errors.New("its predecessor is still missing")

// HeldMessage is a message that waits in memory, unacknowledged.
type HeldMessage struct {
	Key        string        `json:"key"`
	Subject    event.Subject `json:"subject"`
	Version    int64         `json:"version"`
	WaitsFor   int64         `json:"waitsFor"` // version that must be applied first; -1 if it waits for something else
	Since      time.Time     `json:"since"`
	Deliveries int           `json:"deliveries"`      // to this member
	Error      string        `json:"error,omitempty"` // why the last try failed; empty if something is missing
}

func describe(d *delivery, failed error) HeldMessage {
	m := HeldMessage{
		Key: d.item.Key, Subject: d.channel.subject, Version: d.item.Version, WaitsFor: d.item.Predecessor,
		Since: d.arrived, Deliveries: d.copies,
	}
	if failed != nil {
		m.Error = failed.Error()
	}
	return m
}

// Held returns the messages that wait here, oldest first.
func (l *Listener) Held() []HeldMessage {
	held := []HeldMessage{}
	if g := l.generation(); g != nil {
		for _, lane := range g.lanes {
			held = append(held, lane.held()...)
		}
	}
	slices.SortFunc(held, func(a, b HeldMessage) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Version, b.Version))
	})
	return held
}

// Failing returns why the messages that have failed longest cannot be applied, if
// they have for seconds, and nil otherwise.
func (l *Listener) Failing() error {
	g := l.generation()
	if g == nil {
		return nil
	}
	var why error
	since := time.Now().Add(-failingShown)
	for _, lane := range g.lanes {
		if first, failed := lane.failing(); failed != nil && first.Before(since) {
			why, since = failed, first
		}
	}
	if why == nil {
		return nil
	}
	return fmt.Errorf("messages cannot be applied since %s and are tried again, see lockstep replica held: %w", since.UTC().Format(time.RFC3339), why)
}

// failingShown is how long a message fails before Failing tells: longer than a
// store takes to be back.
const failingShown = 10 * time.Second

// Check returns ErrNotSubscribed while the listener gets no messages,
// ErrQuarantineFull while it may set nothing more aside, nil otherwise.
func (l *Listener) Check() error {
	if g := l.generation(); g == nil || !g.conn.Connected() {
		return fmt.Errorf("listener %s: %w", l.opts.Group, ErrNotSubscribed)
	}
	if err := l.quarantine.full(); err != nil {
		return fmt.Errorf("listener %s: %w", l.opts.Group, err)
	}
	return nil
}

// Retry applies a message in quarantine and removes it there. It returns
// ErrNotFound if this listener has no such message, ErrTooEarly if it still
// waits, an error that wraps event.ErrInvalid if it cannot be applied ever, or
// what the store said.
func (l *Listener) Retry(ctx context.Context, id string) error {
	q, err := l.own(ctx, id)
	if err != nil {
		return err
	}
	g := l.generation()
	if g == nil {
		return fmt.Errorf("retry message %s: %w", id, ErrNotSubscribed)
	}
	if _, err := l.handler.Decode(q.Subject, q.Payload); err != nil {
		return fmt.Errorf("retry message %s: %w", id, err)
	}
	reply := make(chan Verdict, 1)
	for !g.recall(q, reply) { // it is being tried at this moment
		pause(ctx, retryPause)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	var verdict Verdict
	select {
	case verdict = <-reply:
	case <-g.over:
		verdict.Err = ErrNotSubscribed
	case <-ctx.Done():
		verdict.Err = ctx.Err()
	}
	switch {
	case verdict.Err != nil:
		return fmt.Errorf("retry message %s: %w", id, verdict.Err)
	case verdict.Outcome == event.Early:
		return fmt.Errorf("retry message %s: %w", id, ErrTooEarly)
	}
	return nil
}

// Discard removes those entries from quarantine that this listener set aside,
// without applying them, and returns how many there were.
func (l *Listener) Discard(ctx context.Context, entries []Quarantined) (int, error) {
	var ids []string
	for _, q := range entries {
		if l.owns(q) {
			ids = append(ids, q.ID)
		}
	}
	n, err := l.quarantine.remove(ctx, ids)
	if n > 0 {
		l.quarantine.stale.Store(true) // how much room that made only a count tells
	}
	if err != nil {
		return n, fmt.Errorf("discard %d messages: %w", len(ids), err)
	}
	return n, nil
}

func (l *Listener) own(ctx context.Context, id string) (Quarantined, error) {
	q, err := l.quarantine.store.Get(ctx, id)
	if err == nil && !l.owns(q) {
		err = ErrNotFound
	}
	if err != nil {
		return Quarantined{}, fmt.Errorf("message %s in quarantine: %w", id, err)
	}
	return q, nil
}

// state is read by the gauges.
func (l *Listener) state() state {
	s := state{quarantined: math.NaN(), quarantinedBytes: math.NaN()}
	if l.quarantine.known.Load() {
		s.quarantined, s.quarantinedBytes = float64(l.quarantine.total.Load()), float64(l.quarantine.bytes.Load())
	}
	g := l.generation()
	if g == nil {
		if since := l.since().oldest(); !since.IsZero() {
			s.oldest = l.now().Sub(since)
		}
		return s
	}
	s.subscribed = g.conn.Connected()
	for _, c := range g.channels {
		s.unacked += int(c.unacked.Load())
		s.window += c.window.open()
	}
	for _, lane := range g.lanes {
		since, n := lane.oldest()
		s.held += n
		if n > 0 {
			s.oldest = max(s.oldest, l.now().Sub(since))
		}
	}
	return s
}
