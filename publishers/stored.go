package publishers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/session"
)

const (
	// storedQuiet is how long a channel brings nothing before it counts as read
	// to its end.
	storedQuiet = 150 * time.Millisecond

	// storedWithin bounds the reading of one channel that others go on writing
	// to: it ends there once it has passed what was stored when it began.
	storedWithin = 5 * time.Second

	storedWindow = 1024
)

// Stored calls report with every message of the subjects' channels since the
// given time, and when it was stored, but not more than about the latest atMost of each. It reads past
// the queue groups and leaves no trace.
//
// What was sent before and is still on its way must not be missed. The server
// (v0.25) takes a publish in three steps: its connection's reader, the callback
// that refuses clients which were replaced or have run out (processClientPublish),
// and the loop that stores (ioLoop). A process under our client id was replaced
// when our session was made, so only the loop can still hold its messages; of
// one under another id, what it sent is older than its lease, which has run out,
// or its session was closed behind it.
// Our own messages are behind the callback once a subscription that we closed is
// answered, for the server puts a barrier there (performmUnsubOrClose). So a
// channel is read until it is quiet, the subscription closed, and that again
// until a whole turn brings nothing new; the loop stores what it holds within
// one sync of its files.
func (n *NATS) Stored(ctx context.Context, subjects []event.Subject, since time.Time, atMost int, report func(s event.Subject, payload []byte, at time.Time)) error {
	c, err := n.session.Conn(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	errs := make([]error, len(subjects))
	for i, s := range subjects {
		if !channel(string(s)) {
			continue
		}
		r := &reader{conn: c, channel: string(s), report: func(m *stan.Msg) {
			mu.Lock()
			defer mu.Unlock()
			report(s, m.Data, time.Unix(0, m.Timestamp))
		}}
		all.Go(func() {
			if err := r.run(ctx, since, uint64(atMost)); err != nil {
				errs[i] = fmt.Errorf("read what %s has: %w", s, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// reader reads the end of one channel.
type reader struct {
	conn    *session.Conn
	channel string
	report  func(*stan.Msg)
}

func (r *reader) run(ctx context.Context, since time.Time, atMost uint64) error {
	newest, err := r.first(ctx, stan.StartWithLastReceived())
	if err != nil {
		return err
	}
	next := uint64(1)
	if newest != nil {
		if next, err = r.begin(ctx, newest.Sequence, since, atMost); err != nil {
			return err
		}
	}
	for began := time.Now(); time.Since(began) < storedWithin; {
		read, err := r.turn(ctx, next)
		if err != nil || read < next {
			return err
		}
		next = read + 1
	}
	return nil
}

// begin returns the sequence at which to start.
func (r *reader) begin(ctx context.Context, newest uint64, since time.Time, atMost uint64) (uint64, error) {
	recent, err := r.first(ctx, stan.StartAtTime(since))
	if err != nil {
		return 0, err
	}
	if recent == nil {
		return newest + 1, nil
	}
	if newest < atMost {
		return recent.Sequence, nil
	}
	return max(recent.Sequence, newest-atMost+1), nil
}

// first returns the first message from start on, or nil.
func (r *reader) first(ctx context.Context, start stan.SubscriptionOption) (first *stan.Msg, err error) {
	err = r.subscribe(ctx, func(m *stan.Msg) (more bool) {
		first = m
		return false
	}, start, stan.MaxInflight(1))
	return first, err
}

// turn reports the messages from one sequence on and returns the last one.
func (r *reader) turn(ctx context.Context, from uint64) (last uint64, err error) {
	began := time.Now()
	err = r.subscribe(ctx, func(m *stan.Msg) (more bool) {
		last = m.Sequence
		r.report(m)
		return time.Since(began) < storedWithin || time.Unix(0, m.Timestamp).Before(began.Add(storedWithin/2))
	}, stan.StartAtSequence(from), stan.MaxInflight(storedWindow))
	return last, err
}

// subscribe hands messages to take until it has enough, or the channel is
// quiet. take is not called any more when it returns.
func (r *reader) subscribe(ctx context.Context, take func(*stan.Msg) (more bool), opts ...stan.SubscriptionOption) error {
	var mu sync.Mutex
	ended := false
	arrived, enough := make(chan struct{}, 1), make(chan struct{})
	sub, err := r.conn.Subscribe(r.channel, func(m *stan.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if ended {
			return
		}
		if ended = !take(m); ended {
			close(enough)
		}
		select {
		case arrived <- struct{}{}:
		default:
		}
	}, opts...)
	if err != nil {
		return err
	}
	err = quiet(ctx, r.conn.Lost(), arrived, enough)
	if closed := sub.Close(); err == nil {
		err = closed
	}
	mu.Lock()
	defer mu.Unlock()
	ended = true
	return err
}

// quiet waits until nothing has arrived for a while or it is enough.
func quiet(ctx context.Context, lost, arrived, enough <-chan struct{}) error {
	idle := time.NewTimer(storedQuiet)
	defer idle.Stop()
	for {
		select {
		case <-arrived:
			idle.Reset(storedQuiet)
		case <-enough:
			return nil
		case <-idle.C:
			return nil
		case <-lost:
			return session.ErrInterrupted
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
