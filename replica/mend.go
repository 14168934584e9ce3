package replica

import (
	"context"
	"fmt"
)

const (
	// mendBatch is how many rows one write of a mending moves.
	mendBatch = 500

	// maxLeft bounds how many drifts that need a person are kept.
	maxLeft = 1000
)

// Mended is what a mending did.
type Mended struct {
	Compared int     `json:"compared"` // records of the owner
	Repaired int     `json:"repaired"` // rows moved to their owner's version
	Late     int     `json:"late"`     // rows that got on by themselves meanwhile
	LeftOver int     `json:"leftOver"` // rows that only a person can judge: ahead of their owner, or unknown to it
	Left     []Drift `json:"left"`     // the first of those, 1,000 at most
}

// Mend compares the whole replica with its owner and moves what is missing or
// behind to the owner's version, in batches, each row by one conditional
// write. An empty replica is filled that way. It never moves a row back: what
// is ahead of its owner, or unknown to it, is reported. It may run beside
// listeners, and be broken off at any time.
func (v *Verifier) Mend(ctx context.Context, cause Cause, m *Metrics, progress func(Mended)) (Mended, error) {
	sum := Mended{Left: []Drift{}}
	var batch []Write
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		n, err := v.store.Write(ctx, batch)
		if err != nil {
			return fmt.Errorf("mend %d rows: %w", len(batch), err)
		}
		m.repairs.WithLabelValues(string(cause)).Add(float64(n))
		sum.Repaired += n
		sum.Late += len(batch) - n
		batch = batch[:0]
		return nil
	}
	for d, err := range v.Drifts(ctx, func(n int) { sum.Compared = n; progress(sum) }) {
		if err != nil {
			return sum, err
		}
		switch d.Kind {
		case Missing, Behind, Differs:
			batch = append(batch, Write{From: versionOf(d.Replica), Row: *d.Canonical})
		case Ahead, Extra:
			sum.LeftOver++
			if len(sum.Left) < maxLeft {
				sum.Left = append(sum.Left, d)
			}
		}
		if len(batch) == mendBatch {
			if err := flush(); err != nil {
				return sum, err
			}
			progress(sum)
		}
	}
	err := flush()
	progress(sum)
	return sum, err
}
