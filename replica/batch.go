package replica

import (
	"cmp"
	"slices"

	"lockstep/event"
)

// batch is a set of changes, grouped by record.
type batch struct {
	changes  []event.TicketChange
	outcomes []event.Outcome
	groups   map[string]*group
}

// group holds the changes of one record, oldest version first.
type group struct {
	stored  int64
	indices []int // into batch.changes
	first   int64 // the smallest predecessor

	unreadable bool // the stored row cannot be read: nothing follows it
}

func newBatch(changes []event.TicketChange) *batch {
	b := &batch{changes: changes, outcomes: make([]event.Outcome, len(changes)), groups: make(map[string]*group, len(changes))}
	for i, c := range changes {
		g := b.groups[c.ID]
		if g == nil {
			g = &group{}
			b.groups[c.ID] = g
		}
		g.indices = append(g.indices, i)
	}
	for _, g := range b.groups {
		slices.SortStableFunc(g.indices, func(i, j int) int {
			return cmp.Compare(changes[i].Version, changes[j].Version)
		})
		g.first = changes[g.indices[0]].Predecessor
	}
	return b
}

// startsAt reports whether the group's first change is the next after version.
func (g *group) startsAt(version int64) bool { return g.first == version }

// decide sets the outcome of every change and returns one write per record
// that gets on: from its stored version over all changes that follow each
// other.
func (b *batch) decide() []Write {
	writes := make([]Write, 0, len(b.groups))
	for _, g := range b.groups {
		reached, last := g.stored, -1
		for _, i := range g.indices {
			if g.unreadable {
				b.outcomes[i] = event.Early
				continue
			}
			b.outcomes[i] = Decide(reached, b.changes[i].Predecessor)
			if b.outcomes[i] == event.Applied {
				reached, last = b.changes[i].Version, i
			}
		}
		if last >= 0 {
			writes = append(writes, Write{From: g.stored, Row: rowOf(b.changes[last])})
		}
	}
	return writes
}

// repeats returns the changes that announce the version their record had, or
// has now through another change of the batch.
func (b *batch) repeats() []event.TicketChange {
	var repeated []event.TicketChange
	for _, g := range b.groups {
		reached := g.stored
		for _, i := range g.indices {
			switch c := b.changes[i]; {
			case b.outcomes[i] == event.Applied:
				reached = c.Version
			case b.outcomes[i] == event.Duplicate && c.Version == reached:
				repeated = append(repeated, c)
			}
		}
	}
	return repeated
}

func rowOf(c event.TicketChange) Row {
	return Row{ID: c.ID, Version: c.Version, Title: c.Title, Price: c.Price, OrderID: c.OrderID, Deleted: c.Deleted}
}
