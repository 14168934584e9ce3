package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"lockstep/event"
)

// Cause says why a row was repaired.
type Cause string

// The causes of repairs, as the metric names them.
const (
	ByGap      Cause = "gap"      // an event waited too long for its predecessor
	ByPressure Cause = "pressure" // early events filled the window
	ByLoss     Cause = "loss"     // the broker lost messages
	ByOperator Cause = "operator" // somebody asked for it
	ByLook     Cause = "look"     // the comparison that runs from time to time found it
)

func causes() []Cause { return []Cause{ByGap, ByPressure, ByLoss, ByOperator, ByLook} }

// ErrAhead: the replica holds a version that its owner does not have. Going
// back is not repair; a person has to look.
var ErrAhead = errors.New("replica is ahead of its owner")

// repairTimeout bounds one repair, its wait for the rate limit included.
const repairTimeout = 30 * time.Second

// RepairOptions bound what repairs ask of the canonical service.
type RepairOptions struct {
	PerSecond float64  // snapshots per second; 200 if 0
	Burst     int      // snapshots at once; 50 if 0
	Metrics   *Metrics // counts repairs; not counted if nil
}

// Repairer moves rows to what their owner has now. It may be used from many
// goroutines; calls for one id that overlap share one snapshot.
type Repairer struct {
	store     Store
	canonical Canonical
	limit     *rate.Limiter
	metrics   *Metrics
	flights   singleflight.Group
}

// NewRepairer returns a repairer of store that asks canonical.
func NewRepairer(store Store, canonical Canonical, o RepairOptions) *Repairer {
	if o.PerSecond == 0 {
		o.PerSecond = 200
	}
	if o.Burst == 0 {
		o.Burst = 50
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return &Repairer{
		store: store, canonical: canonical, metrics: o.Metrics,
		limit: rate.NewLimiter(rate.Limit(o.PerSecond), o.Burst),
	}
}

// Repair moves the row to its owner's current version, in one conditional
// write, and returns the version the replica holds then. A row that is not
// behind is left alone. It returns ErrNotFound if the owner never had the
// record, ErrAhead if the replica holds a newer version, or what the owner or
// the store said.
func (r *Repairer) Repair(ctx context.Context, id string, cause Cause) (int64, error) {
	// The flight does not end with the caller that started it: others may
	// have joined.
	flight := r.flights.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), repairTimeout)
		defer cancel()
		return r.repair(ctx, id, cause)
	})
	select {
	case result := <-flight:
		if result.Err != nil {
			return event.None, fmt.Errorf("repair ticket %s: %w", id, result.Err)
		}
		return result.Val.(int64), nil
	case <-ctx.Done():
		return event.None, ctx.Err()
	}
}

func (r *Repairer) repair(ctx context.Context, id string, cause Cause) (int64, error) {
	if err := r.limit.Wait(ctx); err != nil {
		return event.None, err
	}
	snapshot, err := r.canonical.Snapshot(ctx, id)
	if err != nil {
		return event.None, err
	}
	for range maxRounds {
		row, err := r.row(ctx, id)
		if err != nil {
			return event.None, err
		}
		stored := versionOf(row)
		if stored == snapshot.Version && row.sameContent(snapshot) {
			return stored, nil
		}
		if stored > snapshot.Version {
			return stored, ErrAhead
		}
		n, err := r.store.Write(ctx, []Write{{From: stored, Row: snapshot}})
		if err != nil {
			return event.None, err
		}
		if n == 1 {
			r.metrics.repaired(cause)
			return snapshot.Version, nil
		}
	}
	return event.None, errContended
}

// row returns what is stored, nil for nothing. Of a row that cannot be read the
// version will do, if that can be: what is written over it is the owner's.
func (r *Repairer) row(ctx context.Context, id string) (*Row, error) {
	row, err := optional(r.store.Row(ctx, id))
	if !errors.Is(err, ErrUnreadable) {
		return row, err
	}
	versions, failed := r.store.Versions(ctx, []string{id})
	if version, ok := versions[id]; ok && failed == nil {
		return &Row{ID: id, Version: version}, nil
	}
	return nil, errors.Join(err, failed)
}

// Reset makes the row what its owner has now, whatever it was: it is moved
// back if it was ahead, and removed if the owner never had the record. It
// returns both sides as they were; nil means that there was nothing. Unlike
// Repair it believes the owner alone, and is for an operator who knows why.
func (r *Repairer) Reset(ctx context.Context, id string) (before, after *Row, err error) {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	after, err = optional(r.canonical.Snapshot(ctx, id))
	if err != nil {
		return nil, nil, fmt.Errorf("reset ticket %s: %w", id, err)
	}
	for range maxRounds {
		if before, err = r.row(ctx, id); err != nil {
			return nil, nil, fmt.Errorf("reset ticket %s: %w", id, err)
		}
		write := Write{From: versionOf(before)}
		switch {
		case before == nil && after == nil:
			return nil, nil, nil
		case after == nil:
			write.Row, write.Remove = *before, true
		default:
			write.Row = *after
		}
		n, err := r.store.Write(ctx, []Write{write})
		if err != nil {
			return nil, nil, fmt.Errorf("reset ticket %s: %w", id, err)
		}
		if n == 1 {
			r.metrics.repaired(ByOperator)
			return before, after, nil
		}
	}
	return nil, nil, fmt.Errorf("reset ticket %s: %w", id, errContended)
}
