package outbox_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"lockstep/event"
)

// bus is a broker in memory that answers as it is told.
type bus struct {
	mu        sync.Mutex
	sent      []sent // attempts, in order
	stored    []event.Event
	flying    map[string]int // events without an answer, by key
	most      int            // of flying, over all keys
	overlap   bool           // two events of one key were under way together
	up        chan struct{}  // closed while the broker can be reached
	took      time.Duration  // time to answer
	silent    bool           // no answers
	swallow   bool           // stored, and no answer
	unwritten []func(error)  // the answers that were not given

	// verdict decides on an attempt; nil accepts everything.
	verdict func(e event.Event) error
}

type sent struct {
	event.Event
	at time.Time
}

func newBus() *bus {
	b := &bus{flying: map[string]int{}, up: make(chan struct{}), took: time.Millisecond}
	close(b.up)
	return b
}

func (b *bus) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// cut ends the connection: what is under way gets an unknown outcome.
func (b *bus) cut() {
	b.mu.Lock()
	b.up = make(chan struct{})
	open := b.unwritten
	b.unwritten = nil
	b.mu.Unlock()
	for _, done := range open {
		done(event.ErrUnconfirmed)
	}
}

func (b *bus) restore() { b.set(func() { close(b.up) }) }

func (b *bus) reachable() bool {
	select {
	case <-b.up:
		return true
	default:
		return false
	}
}

func (b *bus) Publish(e event.Event, done func(error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, sent{e, time.Now()})
	if !b.reachable() {
		done(event.ErrUnreachable)
		return
	}
	b.flying[e.Key]++
	b.overlap = b.overlap || b.flying[e.Key] > 1
	all := 0
	for _, n := range b.flying {
		all += n
	}
	b.most = max(b.most, all)
	answer := func(err error) {
		b.set(func() { b.flying[e.Key]-- })
		done(err)
	}
	if b.swallow {
		b.stored = append(b.stored, e)
	}
	if b.silent || b.swallow {
		b.unwritten = append(b.unwritten, answer)
		return
	}
	var err error
	if b.verdict != nil {
		err = b.verdict(e)
	}
	if err == nil {
		b.stored = append(b.stored, e)
	}
	time.AfterFunc(b.took, func() { answer(err) })
}

func (b *bus) Stored(_ context.Context, subjects []event.Subject, _ time.Time, _ int, report func(event.Subject, []byte, time.Time)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.stored {
		if slices.Contains(subjects, e.Subject) {
			report(e.Subject, e.Payload, e.OccurredAt)
		}
	}
	return nil
}

func (b *bus) Connected(ctx context.Context) error {
	b.mu.Lock()
	up := b.up
	b.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ids returns the ids of what the broker stored, in order.
func (b *bus) ids() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return ids(b.stored)
}

func ids(events []event.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.ID())
	}
	return all
}

// attempts returns when an event was tried.
func (b *bus) attempts(id string) []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	var at []time.Time
	for _, s := range b.sent {
		if s.ID() == id {
			at = append(at, s.at)
		}
	}
	return at
}
