package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"lockstep/event"
)

// findings are what the system is like at rest.
type findings struct {
	took, settled time.Duration
	writes        writes
	p50, p99      time.Duration // of answered writes

	copies, swapped, foreign int
	held, absorbed, repaired float64 // early messages held, duplicates absorbed, rows mended

	tickets, events, rows, orders int

	lostWrites   int // answered, and not in the store
	unpublished  int // in the store, and never on the bus
	drifted      int // rows that are not what their ticket is
	appliedTwice int // more messages applied than there are versions
	wrongLocks   int // locks that do not agree with their order
	waiting      int // events still in an outbox
	stuck        int // messages still held
	aside        int // messages in quarantine
}

// resting reports whether nothing is on its way: outboxes empty, nothing held,
// every row as its ticket.
func (d *demo) resting(ctx context.Context) (bool, error) {
	var f findings
	if err := d.left(ctx, &f); err != nil || f.waiting+f.stuck > 0 {
		return false, err
	}
	if err := d.compare(ctx, &f); err != nil || f.drifted+f.unpublished > 0 {
		return false, err
	}
	err := d.checkLocks(ctx, &f)
	return err == nil && f.wrongLocks == 0, err
}

// look takes every figure.
func (d *demo) look(ctx context.Context, took time.Duration) (*findings, error) {
	f := &findings{took: took, settled: took - d.For, writes: d.load.counted()}
	f.copies, f.swapped, f.foreign = d.mess.counted()
	f.p50, f.p99 = d.load.quantiles()
	for _, step := range []func(context.Context, *findings) error{d.left, d.compare, d.checkLocks, d.countApplied} {
		if err := step(ctx, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// left counts what still waits somewhere.
func (d *demo) left(ctx context.Context, f *findings) error {
	for _, s := range d.system.services {
		stats, err := s.store.outbox.Stats(ctx)
		if err != nil {
			return err
		}
		aside, err := s.store.quarantine.Count(ctx)
		if err != nil {
			return err
		}
		f.waiting += stats.Pending
		f.aside += aside
		for _, l := range s.listeners {
			f.stuck += len(l.Held())
		}
	}
	return nil
}

// countApplied reads from the metrics how often messages were applied: once
// for every version, and not more.
func (d *demo) countApplied(_ context.Context, f *findings) error {
	families, err := d.system.registry.Gather()
	if err != nil {
		return fmt.Errorf("read metrics: %w", err)
	}
	applied := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			n := m.GetCounter().GetValue()
			switch family.GetName() {
			case "lockstep_replica_repairs_total":
				f.repaired += n
			case "lockstep_listener_messages_total":
				switch {
				case labels["outcome"] == "duplicate":
					f.absorbed += n
				case labels["outcome"] == event.Early.String():
					f.held += n
				case labels["outcome"] == event.Applied.String() && slices.Contains(event.TicketSubjects(), event.Subject(labels["subject"])):
					applied += n
				}
			}
		}
	}
	f.appliedTwice = max(0, int(applied)-f.events-f.foreign*foreignVersions)
	return nil
}

// quantiles returns the median and the slowest hundredth of answered writes.
func (l *load) quantiles() (p50, p99 time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.took) == 0 {
		return 0, 0
	}
	slices.SortFunc(l.took, func(a, b time.Duration) int { return cmp.Compare(a, b) })
	return l.took[len(l.took)/2], l.took[len(l.took)*99/100]
}
