package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
)

// onSaleBytes is how many bytes of rows are kept of what is on sale. Of the
// rest there is a digest; such a row is asked for again if the replica has
// another one.
const onSaleBytes = 16 << 20

// public shows an owner that has nothing but its public API as one that can be
// paged. The API lists what is on sale; whatever else the replica has is asked
// for one by one. What is reserved at the owner and missing in the replica
// cannot be found that way. It serves one comparison.
type public struct {
	Canonical
	onSale []sale // by id
	ours   Store
}

// sale is a record on sale.
type sale struct {
	id      string
	content uint64 // digest of the row
	row     *Row   // nil if it was not kept
}

// sum returns the digest of everything a row has.
func (r Row) sum() uint64 {
	_, content := r.digests()
	return content
}

func newPublic(ctx context.Context, owner Canonical, ours Store) (*public, error) {
	p := &public{Canonical: owner, ours: ours}
	kept := 0
	for row, err := range owner.OnSale(ctx) {
		if err != nil {
			return nil, err
		}
		s := sale{id: row.ID, content: row.sum()}
		if kept += row.size(); kept <= onSaleBytes {
			s.row = &row
		}
		p.onSale = append(p.onSale, s)
	}
	slices.SortFunc(p.onSale, func(a, b sale) int { return cmp.Compare(a.id, b.id) })
	return p, nil
}

// Page implements Canonical.
func (p *public) Page(ctx context.Context, after string, limit int) ([]Row, error) {
	var page []Row
	size := 0
	for row, err := range p.above(ctx, after) {
		if err != nil {
			return nil, err
		}
		page = append(page, row)
		if size += row.size(); len(page) == limit || size >= batchBytes {
			break
		}
	}
	return page, nil
}

// Ranges implements Canonical.
func (p *public) Ranges(ctx context.Context, after string, size, _ int) ([]Range, error) {
	return Pager(p.Page).Ranges(ctx, after, size, 1)
}

// above yields what the owner has with an id above after, by id.
func (p *public) above(ctx context.Context, after string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		next := sort.Search(len(p.onSale), func(i int) bool { return p.onSale[i].id > after })
		give := func(id string, ours *Row) bool {
			var s *sale
			if next < len(p.onSale) && p.onSale[next].id == id {
				s = &p.onSale[next]
				next++
			}
			row, known, err := p.owners(ctx, id, ours, s)
			return !known && err == nil || yield(row, err) && err == nil
		}
		for ours, err := range Pager(p.ours.Page).above(ctx, after, rangeSize) {
			if err != nil {
				yield(Row{}, err)
				return
			}
			for next < len(p.onSale) && p.onSale[next].id < ours.ID {
				if !give(p.onSale[next].id, nil) {
					return
				}
			}
			if !give(ours.ID, &ours) {
				return
			}
		}
		for next < len(p.onSale) {
			if !give(p.onSale[next].id, nil) {
				return
			}
		}
	}
}

// owners returns what the owner has of a record, of which the replica has ours
// and the list s; either may be nil. The API hides deleted records: a tombstone
// agrees with an owner that shows nothing.
func (p *public) owners(ctx context.Context, id string, ours *Row, s *sale) (row Row, known bool, err error) {
	if s != nil && s.row != nil {
		return *s.row, true, nil
	}
	if s != nil && ours != nil && s.content == ours.sum() {
		return *ours, true, nil
	}
	row, err = p.Snapshot(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound) && ours != nil && ours.Deleted:
		return *ours, true, nil
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUnreadable): // the second look tells them apart
		return Row{}, false, nil
	case err != nil:
		return Row{}, false, fmt.Errorf("ask for ticket %s: %w", id, err)
	}
	return row, true, nil
}
