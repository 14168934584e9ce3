package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lockstep/event"
)

const (
	// maxRounds bounds how often a batch is decided again because other
	// members wrote the same rows. Each round, at least one member gets on.
	maxRounds = 16

	// maxRemembered bounds the memory of versions: about 100 bytes each.
	maxRemembered = 64 << 10
)

// Projector applies ticket events to the replica. It may be used from many
// goroutines, and many projectors may work on one store: the store's own
// condition decides, whatever a projector remembers.
type Projector struct {
	Metrics *Metrics     // counts conflicts of content
	Log     *slog.Logger // of conflicts of content

	store Store

	mu         sync.Mutex
	remembered map[string]int64 // stored versions as last seen; may be behind, never invented
	reported   time.Time        // when a conflict was logged last
}

// NewProjector returns a projector over store that counts and logs nowhere.
func NewProjector(store Store) *Projector {
	return &Projector{
		Metrics: NewMetrics(nil), Log: slog.New(slog.DiscardHandler),
		store: store, remembered: map[string]int64{},
	}
}

// Apply decides the changes and makes the applicable ones durable. It returns
// one outcome per change, in their order. Changes of one record may come in
// any order and any number: those that follow each other are applied together.
// Those of a row that cannot be read are early: they wait until it is repaired.
// With an error nothing may be acknowledged; trying again is always right.
func (p *Projector) Apply(ctx context.Context, changes []event.TicketChange) ([]event.Outcome, error) {
	b := newBatch(changes)
	for range maxRounds {
		if err := p.recall(ctx, b); err != nil {
			return nil, fmt.Errorf("apply %d changes: %w", len(changes), err)
		}
		writes := b.decide()
		if len(writes) == 0 {
			p.compare(ctx, b.repeats())
			return b.outcomes, nil
		}
		n, err := p.store.Write(ctx, writes)
		if err != nil {
			p.forget(b)
			return nil, fmt.Errorf("apply %d changes: %w", len(changes), err)
		}
		if n == len(writes) {
			p.remember(writes)
			p.compare(ctx, b.repeats())
			return b.outcomes, nil
		}
		p.forget(b) // another member was faster with some of them
		if err := p.passOver(ctx, b, writes); err != nil {
			return nil, fmt.Errorf("apply %d changes: %w", len(changes), err)
		}
	}
	return nil, fmt.Errorf("apply %d changes: %w", len(changes), errContended)
}

// errContended: other members won every round. The events stay unacknowledged.
var errContended = errors.New("other members keep writing the same rows")

// passOver takes those rows out of the batch that were to be created and are
// there, but cannot be read.
func (p *Projector) passOver(ctx context.Context, b *batch, writes []Write) error {
	for _, w := range writes {
		if w.From != event.None {
			continue
		}
		_, err := p.store.Row(ctx, w.Row.ID)
		switch {
		case errors.Is(err, ErrUnreadable):
			b.groups[w.Row.ID].unreadable = true
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		}
	}
	return nil
}

// recall fills in the stored versions, from memory where it can. A remembered
// version that makes an event early or a duplicate is checked with the store:
// only applying is safe on a memory that may be behind.
func (p *Projector) recall(ctx context.Context, b *batch) error {
	p.mu.Lock()
	var missing []string
	for id, g := range b.groups {
		v, ok := p.remembered[id]
		if !ok || !g.startsAt(v) {
			missing = append(missing, id)
			continue
		}
		g.stored = v
	}
	p.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	versions, err := p.store.Versions(ctx, missing)
	if err != nil {
		return err
	}
	for _, id := range missing {
		b.groups[id].stored = event.None
		if v, ok := versions[id]; ok {
			b.groups[id].stored = v
		}
	}
	return nil
}

func (p *Projector) remember(writes []Write) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.remembered)+len(writes) > maxRemembered {
		clear(p.remembered)
	}
	for _, w := range writes {
		p.remembered[w.Row.ID] = w.Row.Version
	}
}

func (p *Projector) forget(b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range b.groups {
		delete(p.remembered, id)
	}
}

// reportEvery bounds how often conflicts of content are logged.
const reportEvery = 10 * time.Second

// compare counts those of the repeated changes that say something else than
// the row of their version: one of the two is not what the owner published.
// What is stored stays; a comparison with the owner decides. A row that cannot
// be read, or has moved on, is no conflict.
func (p *Projector) compare(ctx context.Context, repeats []event.TicketChange) {
	for _, c := range repeats {
		row, err := p.store.Row(ctx, c.ID)
		if err != nil || row.Version != c.Version || row.sameContent(rowOf(c)) {
			continue
		}
		p.Metrics.conflicts.Inc()
		if p.due() {
			p.Log.WarnContext(ctx, "an event has the version of the stored row and another content: compare with the owner (lockstep replica verify)",
				"ticket_id", c.ID, "version", c.Version)
		}
	}
}

func (p *Projector) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.reported) < reportEvery {
		return false
	}
	p.reported = time.Now()
	return true
}
