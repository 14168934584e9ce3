package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"lockstep/event"
)

const (
	// rangeSize and rangesPerTrip decide how many round trips a comparison
	// takes: one per 262,144 records that agree.
	rangeSize     = 1024
	rangesPerTrip = 256

	// maxSuspects bounds the drifts that wait for their second look.
	maxSuspects = 10_000
)

// Kind says how a replica's row differs from the canonical record.
type Kind string

// The kinds of drift.
const (
	Missing Kind = "missing" // the replica has no row
	Behind  Kind = "behind"  // the replica has an older version
	Ahead   Kind = "ahead"   // the replica has a version that its owner does not have
	Extra   Kind = "extra"   // the owner never had the record
	Differs Kind = "differs" // the same version and another title, price, order or deletion

	Unreadable Kind = "unreadable" // one side has the record and cannot read it
)

// Kinds returns every kind of drift.
func Kinds() []Kind { return []Kind{Missing, Behind, Ahead, Extra, Differs, Unreadable} }

// Drift is one record that differs, with both sides.
type Drift struct {
	ID        string `json:"id"`
	Kind      Kind   `json:"kind"`
	Replica   *Row   `json:"replica,omitempty"`   // nil if there is none, or it cannot be read
	Canonical *Row   `json:"canonical,omitempty"` // nil if there is none, or it cannot be read
}

// size is about how many bytes of memory the rows take.
func (d Drift) size() (n int) {
	for _, r := range []*Row{d.Replica, d.Canonical} {
		if r != nil {
			n += r.size()
		}
	}
	return n
}

// drift compares two sides of one record; nil means that there is none.
func drift(id string, ours, owners *Row) (Drift, bool) {
	d := Drift{ID: id, Replica: ours, Canonical: owners}
	switch {
	case ours == nil && owners == nil:
		return d, false
	case ours == nil:
		d.Kind = Missing
	case owners == nil:
		d.Kind = Extra
	case ours.Version < owners.Version:
		d.Kind = Behind
	case ours.Version > owners.Version:
		d.Kind = Ahead
	case !ours.sameContent(*owners):
		d.Kind = Differs
	default:
		return d, false
	}
	return d, true
}

// Verifier compares a replica with its owner while both go on working.
type Verifier struct {
	store     Store
	canonical Canonical
	grace     time.Duration
}

// DefaultGrace is how long an event may be on its way before a row that waits
// for it counts as drifted.
const DefaultGrace = 2 * time.Second

// NewVerifier returns a verifier; a drift counts if it is still there after
// grace. With a grace of 0 whatever is on its way is reported too.
func NewVerifier(store Store, canonical Canonical, grace time.Duration) *Verifier {
	return &Verifier{store: store, canonical: canonical, grace: grace}
}

// Verified is what a verification found.
type Verified struct {
	Compared int          `json:"compared"` // records of the owner
	Drifted  map[Kind]int `json:"drifted"`  // every kind, 0 where there was none

	// Public says that the owner has nothing but its public API: what is
	// reserved there and missing here was not looked for.
	Public bool `json:"public,omitempty"`
}

// Drifts returns how many records differ.
func (v Verified) Drifts() int {
	sum := 0
	for _, n := range v.Drifted {
		sum += n
	}
	return sum
}

// Verify compares everything, calls drifted with each record that differs, and
// sums up. An error of drifted ends it.
func (v *Verifier) Verify(ctx context.Context, progress Progress, drifted func(Drift) error) (Verified, error) {
	sum := Verified{Drifted: map[Kind]int{}}
	for _, k := range Kinds() {
		sum.Drifted[k] = 0
	}
	c, err := v.begin(ctx)
	if err != nil {
		return sum, err
	}
	sum.Public = c.public
	for d, err := range c.drifts(ctx, func(n int) { sum.Compared = n; progress(n) }) {
		if err == nil {
			sum.Drifted[d.Kind]++
			err = drifted(d)
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// Progress counts the records that were compared so far.
type Progress func(compared int)

// Drifts yields every record that differs, by range and unordered within one;
// an error ends the sequence. Memory does not grow with the number or the size
// of rows, but for the ids of what an owner with a public API alone has on
// sale. Records that agree cost no transfer but a digest per 1,024.
func (v *Verifier) Drifts(ctx context.Context, progress Progress) iter.Seq2[Drift, error] {
	return func(yield func(Drift, error) bool) {
		c, err := v.begin(ctx)
		if err != nil {
			yield(Drift{}, err)
			return
		}
		c.drifts(ctx, progress)(yield)
	}
}

// comparison is one comparison of everything.
type comparison struct {
	*Verifier
	owner  Canonical
	public bool    // the owner has nothing but its public API
	first  []Range // the owner's first answer
}

// begin finds out how the owner can be asked.
func (v *Verifier) begin(ctx context.Context) (*comparison, error) {
	first, err := v.canonical.Ranges(ctx, "", rangeSize, rangesPerTrip)
	c := &comparison{Verifier: v, owner: v.canonical, first: first}
	if errors.Is(err, ErrPublic) {
		if c.owner, err = newPublic(ctx, v.canonical, v.store); err == nil {
			c.public = true
			c.first, err = c.owner.Ranges(ctx, "", rangeSize, rangesPerTrip)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("compare replica: %w", err)
	}
	return c, nil
}

// drifts yields what differs. Without a grace that is what it finds; otherwise
// what is found is looked at again later, many at a time.
func (v *comparison) drifts(ctx context.Context, progress Progress) iter.Seq2[Drift, error] {
	return func(yield func(Drift, error) bool) {
		var suspects []suspect
		compared, going := 0, true
		found := func(d Drift) bool {
			if v.grace == 0 {
				going = yield(d, nil)
				return going
			}
			suspects = append(suspects, suspect{d.ID, versionOf(d.Replica)})
			return true
		}
		for r, err := range v.ranges(ctx) {
			n := 0
			if err == nil {
				n, err = v.compare(ctx, r, found)
			}
			if err != nil {
				yield(Drift{}, fmt.Errorf("compare replica: %w", err))
				return
			}
			if !going {
				return
			}
			compared += n
			progress(compared)
			if len(suspects) >= maxSuspects {
				if !v.confirm(ctx, suspects, yield) {
					return
				}
				suspects = suspects[:0]
			}
		}
		v.confirm(ctx, suspects, yield)
	}
}

// suspect is a record that differed, with the version that the replica had.
type suspect struct {
	id      string
	version int64
}

// ranges yields the owner's digests from the first id to the last.
func (v *comparison) ranges(ctx context.Context) iter.Seq2[Range, error] {
	return func(yield func(Range, error) bool) {
		for ranges, err := v.first, error(nil); ; {
			if err == nil && len(ranges) == 0 {
				err = errors.New("the canonical service answered without a range")
			}
			if err != nil {
				yield(Range{}, err)
				return
			}
			for _, r := range ranges {
				if !yield(r, nil) || r.Last == "" {
					return
				}
			}
			ranges, err = v.owner.Ranges(ctx, ranges[len(ranges)-1].Last, rangeSize, rangesPerTrip)
		}
	}
}

// compare calls found with each difference within one range, until it returns
// false, and returns how many records the owner has in it.
func (v *comparison) compare(ctx context.Context, r Range, found func(Drift) bool) (int, error) {
	ours, owners := Pager(v.store.Page), Pager(v.owner.Page)
	local := Range{After: r.After, Last: r.Last}
	for row, err := range ours.within(ctx, r, rangeSize) {
		if err != nil {
			return 0, err
		}
		local.add(row)
	}
	if local == r {
		return r.Count, nil
	}
	return differences(ours.within(ctx, r, rangeSize), owners.within(ctx, r, rangeSize), found)
}

// differences merges two lists that are sorted by id and calls found with each
// record that differs, until it returns false. It returns how many the owner
// has.
func differences(ours, owners iter.Seq2[Row, error], found func(Drift) bool) (n int, err error) {
	nextOurs, stopOurs := iter.Pull2(ours)
	defer stopOurs()
	nextOwners, stopOwners := iter.Pull2(owners)
	defer stopOwners()
	a, errA, hasA := nextOurs()
	b, errB, hasB := nextOwners()
	for hasA || hasB {
		if err := cmp.Or(errA, errB); err != nil {
			return n, err
		}
		var left, right *Row
		id := a.ID
		if !hasA || hasB && b.ID < a.ID {
			id = b.ID
		}
		if hasA && a.ID == id {
			left = clone(a)
			a, errA, hasA = nextOurs()
		}
		if hasB && b.ID == id {
			right = clone(b)
			b, errB, hasB = nextOwners()
			n++
		}
		if d, differs := drift(id, left, right); differs && !found(d) {
			return n, nil
		}
	}
	return n, nil
}

func clone(r Row) *Row { return &r }

// confirm looks at suspects again after the grace and yields those that still
// differ and have not moved: a row that gets on is not drifted but late.
func (v *comparison) confirm(ctx context.Context, suspects []suspect, yield func(Drift, error) bool) bool {
	if len(suspects) == 0 {
		return true
	}
	wait := time.NewTimer(v.grace)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return yield(Drift{}, ctx.Err())
	case <-wait.C:
	}
	for _, s := range suspects {
		d, drifted, err := v.again(ctx, s)
		if err != nil {
			yield(Drift{}, fmt.Errorf("compare ticket %s: %w", s.id, err))
			return false
		}
		if drifted && !yield(d, nil) {
			return false
		}
	}
	return true
}

// again reads both sides of a suspect, the replica first: the owner may only
// look newer by that, and a row that has moved meanwhile is on its way.
func (v *comparison) again(ctx context.Context, s suspect) (Drift, bool, error) {
	ours, err := optional(v.store.Row(ctx, s.id))
	if err != nil && !errors.Is(err, ErrUnreadable) {
		return Drift{}, false, err
	}
	owners, failed := optional(v.owner.Snapshot(ctx, s.id))
	if failed != nil && !errors.Is(failed, ErrUnreadable) {
		return Drift{}, false, failed
	}
	if err != nil || failed != nil {
		return Drift{ID: s.id, Kind: Unreadable, Replica: ours, Canonical: owners}, true, nil
	}
	d, drifted := drift(s.id, ours, owners)
	moved := versionOf(ours) != s.version
	if drifted && moved && (d.Kind == Missing || d.Kind == Behind) || v.public && drifted && d.Kind == Extra && ours.Deleted {
		return Drift{}, false, nil
	}
	return d, drifted, nil
}

func optional(r Row, err error) (*Row, error) {
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &r, nil
}

func versionOf(r *Row) int64 {
	if r == nil {
		return event.None
	}
	return r.Version
}
