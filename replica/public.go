package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// public shows an owner that has nothing but its public API as one that can be
// paged. The API lists what is on sale; whatever else the replica has is asked
// for one by one. What is reserved at the owner and missing in the replica
// cannot be found that way. It serves one comparison.
type public struct {
	Canonical
	onSale []Row // by id
	ours   Store
}

func newPublic(ctx context.Context, owner Canonical, ours Store) (*public, error) {
	rows, err := owner.OnSale(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.ID, b.ID) })
	return &public{Canonical: owner, onSale: rows, ours: ours}, nil
}

// Page implements Canonical.
func (p *public) Page(ctx context.Context, after string, limit int) ([]Row, error) {
	var page []Row
	for {
		ours, err := p.ours.Page(ctx, after, limit)
		if err != nil {
			return nil, err
		}
		last := len(ours) < limit
		for _, r := range ours {
			page = append(page, p.between(after, r.ID)...)
			row, known, err := p.counterpart(ctx, r)
			if err != nil {
				return nil, err
			}
			if known {
				page = append(page, row)
			}
			after = r.ID
		}
		if last {
			page = append(page, p.between(after, "")...)
		}
		if last || len(page) >= limit {
			return page[:min(len(page), limit)], nil
		}
	}
}

// Ranges implements Canonical.
func (p *public) Ranges(ctx context.Context, after string, size, _ int) ([]Range, error) {
	return Pager(p.Page).Ranges(ctx, after, size, 1)
}

// between returns what is on sale above one id and below another; "" is none.
func (p *public) between(after, before string) []Row {
	from := sort.Search(len(p.onSale), func(i int) bool { return p.onSale[i].ID > after })
	to := len(p.onSale)
	if before != "" {
		to = sort.Search(len(p.onSale), func(i int) bool { return p.onSale[i].ID >= before })
	}
	return p.onSale[from:max(from, to)]
}

// counterpart returns what the owner has of a row. The API hides deleted
// records: a tombstone agrees with an owner that shows nothing.
func (p *public) counterpart(ctx context.Context, ours Row) (Row, bool, error) {
	i, listed := slices.BinarySearchFunc(p.onSale, ours.ID, func(r Row, id string) int { return cmp.Compare(r.ID, id) })
	if listed {
		return p.onSale[i], true, nil
	}
	row, err := p.Snapshot(ctx, ours.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return ours, ours.Deleted, nil
	case err != nil:
		return Row{}, false, fmt.Errorf("ask for ticket %s: %w", ours.ID, err)
	default:
		return row, true, nil
	}
}
