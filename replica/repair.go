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
		s, err := look(ctx, r.store, id)
		if err != nil {
			return event.None, err
		}
		if s.version == snapshot.Version && s.row != nil && s.row.sameContent(snapshot) {
			return s.version, nil
		}
		if s.version > snapshot.Version {
			return s.version, ErrAhead
		}
		n, err := r.store.Write(ctx, []Write{s.replace(snapshot)})
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

// stored is what a store has under an id.
type stored struct {
	row        *Row  // nil for nothing, or for what cannot be read
	version    int64 // of the row; event.None if there is none
	unreadable bool  // there is a row, and not even its version can be read
}

// look returns what is stored. Of a row that cannot be read the version will do,
// if that can be: what is written over it is the owner's.
func look(ctx context.Context, store Store, id string) (stored, error) {
	row, err := optional(store.Row(ctx, id))
	if !errors.Is(err, ErrUnreadable) {
		return stored{row: row, version: versionOf(row)}, err
	}
	versions, err := store.Versions(ctx, []string{id})
	version, ok := versions[id]
	if !ok {
		version = event.None
	}
	return stored{version: version, unreadable: !ok}, err
}

// replace returns the write of row in the place of what is stored.
func (s stored) replace(row Row) Write {
	return Write{From: s.version, Row: row, Unreadable: s.unreadable}
}

// remove returns the write that removes what is stored.
func (s stored) remove(id string) Write {
	return Write{From: s.version, Row: Row{ID: id}, Remove: true, Unreadable: s.unreadable}
}

// Reset makes the row what its owner has now, whatever it was: it is moved
// back if it was ahead, and removed if the owner never had the record. It
// returns both sides as they were; nil means that there was nothing, or, before,
// that it could not be read. Unlike
// Repair it believes the owner alone, and is for an operator who knows why.
func (r *Repairer) Reset(ctx context.Context, id string) (before, after *Row, err error) {
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	written := false
	for range maxRounds { // what is written is looked at again: see mending.write
		s, err := look(ctx, r.store, id)
		if err == nil {
			after, err = optional(r.canonical.Snapshot(ctx, id))
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reset ticket %s: %w", id, err)
		}
		if !written {
			before = s.row
		}
		if s.version == versionOf(after) && !s.unreadable && (written || after == nil || s.row != nil && s.row.sameContent(*after)) {
			return before, after, nil
		}
		write := s.remove(id)
		if after != nil {
			write = s.replace(*after)
		}
		n, err := r.store.Write(ctx, []Write{write})
		if err != nil {
			return nil, nil, fmt.Errorf("reset ticket %s: %w", id, err)
		}
		if n == 1 && !written {
			written = true
			r.metrics.repaired(ByOperator)
		}
	}
	return nil, nil, fmt.Errorf("reset ticket %s: %w", id, errContended)
}
