package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lockstep/event"
)

// One write of a mending moves mendBatch rows, or as many as reach batchBytes.
// Of the drifts that need a person maxLeft are kept, or as many as reach
// batchBytes.
const (
	mendBatch  = 500
	maxLeft    = 1000
	batchBytes = 1 << 20
)

// Mended is what a mending did.
type Mended struct {
	Compared int     `json:"compared"`         // records of the owner
	Repaired int     `json:"repaired"`         // rows that have their owner's version and content now
	Removed  int     `json:"removed"`          // rows removed because their owner never had the record; only by trust
	Late     int     `json:"late"`             // rows that got on by themselves meanwhile
	LeftOver int     `json:"leftOver"`         // rows that only a person can judge: ahead of their owner, unknown to it, or not readable there
	Left     []Drift `json:"left"`             // the first of those: 1,000, or fewer if they are large
	Public   bool    `json:"public,omitempty"` // see Verified
}

// MendOptions say how a mending is done.
type MendOptions struct {
	Cause    Cause
	Metrics  *Metrics     // counts repairs; not counted if nil
	Progress func(Mended) // may be nil

	// TrustOwner moves rows that are ahead of their owner back, and removes
	// those that it never had, instead of reporting them: right after the
	// owner's database was restored from a backup, or after events that it
	// did not publish.
	TrustOwner bool
}

// Mend compares the whole replica with its owner and moves what is missing,
// behind or of another content to what the owner has, in batches, each row by
// one conditional write. An empty replica is filled that way. Unless the owner
// is trusted it never moves a row back: what is ahead of its owner, or unknown
// to it, is reported. It may run beside listeners, and be broken off at any
// time.
func (v *Verifier) Mend(ctx context.Context, o MendOptions) (Mended, error) {
	c, err := v.begin(ctx)
	if err != nil {
		return Mended{Left: []Drift{}}, err
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Progress == nil {
		o.Progress = func(Mended) {}
	}
	m := &mending{comparison: c, opts: o, sum: Mended{Left: []Drift{}, Public: c.public}, drifted: map[Kind]int{}}
	if err = m.run(ctx); err == nil {
		o.Metrics.comparedAll(m.drifted)
	}
	return m.sum, err
}

// mending is one run of Mend.
type mending struct {
	*comparison
	opts    MendOptions
	sum     Mended
	drifted map[Kind]int
	batch   []Write
	size    int // bytes of batch
	left    int // bytes of sum.Left
}

func (m *mending) run(ctx context.Context) error {
	for d, err := range m.drifts(ctx, func(n int) { m.sum.Compared = n; m.opts.Progress(m.sum) }) {
		if err != nil {
			return err
		}
		if err := m.file(ctx, d); err != nil {
			return err
		}
		if len(m.batch) == mendBatch || m.size >= batchBytes {
			if err := m.flush(ctx); err != nil {
				return err
			}
		}
	}
	return m.flush(ctx)
}

// file decides what is done about d.
func (m *mending) file(ctx context.Context, d Drift) error {
	if d.Kind == Extra && m.grace == 0 { // or its owner cannot read it
		var drifted bool
		var err error
		if d, drifted, err = m.again(ctx, suspect{d.ID, versionOf(d.Replica)}); err != nil || !drifted {
			return err
		}
	}
	m.drifted[d.Kind]++
	switch {
	case d.Kind == Unreadable && d.Canonical != nil:
		return m.overwrite(ctx, d)
	case d.Kind == Unreadable:
		m.leave(d)
	case d.Kind != Ahead && d.Kind != Extra, d.Kind == Ahead && m.opts.TrustOwner:
		m.add(Write{From: versionOf(d.Replica), Row: *d.Canonical})
	case m.opts.TrustOwner:
		m.add(Write{From: versionOf(d.Replica), Row: *d.Replica, Remove: true})
	default:
		m.leave(d)
	}
	return nil
}

// leave leaves d to a person.
func (m *mending) leave(d Drift) {
	m.sum.LeftOver++
	if len(m.sum.Left) < maxLeft && m.left < batchBytes {
		m.sum.Left = append(m.sum.Left, d)
		m.left += d.size()
	}
}

// overwrite puts the owner's record in the place of a row that cannot be read.
func (m *mending) overwrite(ctx context.Context, d Drift) error {
	s, err := look(ctx, m.store, d.ID)
	if err != nil {
		return fmt.Errorf("mend ticket %s: %w", d.ID, err)
	}
	if s.version > d.Canonical.Version && !m.opts.TrustOwner {
		m.leave(d)
		return nil
	}
	return m.write(ctx, []Write{s.replace(*d.Canonical)})
}

func (m *mending) add(w Write) {
	m.batch = append(m.batch, w)
	m.size += w.Row.size()
}

// flush writes the batch: what replaces rows, then what removes them.
func (m *mending) flush(ctx context.Context) error {
	for _, removing := range []bool{false, true} {
		writes := slices.Collect(func(yield func(Write) bool) {
			for _, w := range m.batch {
				if w.Remove == removing && !yield(w) {
					return
				}
			}
		})
		if len(writes) == 0 {
			continue
		}
		before := m.sum.Late
		if err := m.write(ctx, writes); err != nil {
			return err
		}
		if m.sum.Late > before && !removing && m.grace == 0 {
			if err := m.reread(ctx, writes); err != nil {
				return err
			}
		}
	}
	m.batch, m.size = m.batch[:0], 0
	m.opts.Progress(m.sum)
	return nil
}

// write writes rows, or removes them. Those that it moves back are looked at again:
// an event that came before was taken for one that the replica had, and does not
// come again.
func (m *mending) write(ctx context.Context, writes []Write) error {
	n, err := m.store.Write(ctx, writes)
	if err != nil {
		return fmt.Errorf("mend %d rows: %w", len(writes), err)
	}
	m.opts.Metrics.repairs.WithLabelValues(string(m.opts.Cause)).Add(float64(n))
	m.sum.Late += len(writes) - n
	if writes[0].Remove {
		m.sum.Removed += n
	} else {
		m.sum.Repaired += n
	}
	for _, w := range writes {
		if w.Remove || w.From <= w.Row.Version {
			continue
		}
		if err := m.catchUp(ctx, w.Row); err != nil {
			return fmt.Errorf("mend ticket %s: %w", w.Row.ID, err)
		}
	}
	return nil
}

// catchUp moves a row that was written to what its owner has by now.
func (m *mending) catchUp(ctx context.Context, written Row) error {
	d, drifted, err := m.again(ctx, suspect{written.ID, written.Version})
	if err == nil && drifted && d.Kind == Behind {
		_, err = m.store.Write(ctx, []Write{{From: d.Replica.Version, Row: *d.Canonical}})
	}
	return err
}

// reread looks for rows that were taken for missing and cannot be read.
func (m *mending) reread(ctx context.Context, writes []Write) error {
	for _, w := range writes {
		if w.From != event.None {
			continue
		}
		if _, err := m.store.Row(ctx, w.Row.ID); !errors.Is(err, ErrUnreadable) {
			continue
		}
		m.sum.Late--
		m.drifted[Missing]--
		if err := m.file(ctx, Drift{ID: w.Row.ID, Kind: Unreadable, Canonical: &w.Row}); err != nil {
			return err
		}
	}
	return nil
}
