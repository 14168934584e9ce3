package sqlite

import (
	"context"
	"slices"

	"lockstep/outbox"
)

// Events are published nearly in the order in which they were committed, so
// those of one delete lie side by side: a statement for each run of them is half
// the work of one for each event.
const (
	deleteRun   = "DELETE FROM events WHERE seq BETWEEN ?1 AND ?2"
	deleteEvent = "DELETE FROM events" + withID
)

// Delete implements outbox.Store.
func (s *Outbox) Delete(ctx context.Context, refs []outbox.Ref) error {
	if len(refs) == 0 {
		return nil
	}
	var numbers []int64
	var others []outbox.Ref
	for _, r := range refs {
		if r.Position != 0 {
			numbers = append(numbers, r.Position)
		} else {
			others = append(others, r)
		}
	}
	runs := runsOf(numbers)
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		for _, run := range runs {
			if _, err := w.exec(ctx, deleteRun, run.first, run.last); err != nil {
				return err
			}
		}
		for _, r := range others {
			if _, err := w.exec(ctx, deleteEvent, keyHash(r.Key), r.Key, r.Version, string(r.Subject)); err != nil {
				return err
			}
		}
		return nil
	})
}

// run is every number from first to last.
type run struct{ first, last int64 }

// runsOf returns the runs that hold just the given numbers. It sorts them.
func runsOf(numbers []int64) (runs []run) {
	slices.Sort(numbers)
	for _, n := range numbers {
		if last := len(runs) - 1; last >= 0 && n <= runs[last].last+1 {
			runs[last].last = n
			continue
		}
		runs = append(runs, run{n, n})
	}
	return runs
}
