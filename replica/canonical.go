package replica

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrPublic: the owner has nothing but its public API, which cannot be paged by
// id and hides what is reserved.
var ErrPublic = errors.New("the owner answers by its public API only")

// Canonical is the service that owns the records, asked directly and not
// through the bus. An owner with nothing but its public API returns ErrPublic
// from Page and Ranges. Its methods may be called from many goroutines.
type Canonical interface {
	// Snapshot returns the record as it is now, a deleted one as a tombstone,
	// or ErrNotFound if its owner never had it.
	Snapshot(ctx context.Context, id string) (Row, error)

	// Page returns up to limit records, held and deleted ones too, with an id
	// above after, by id.
	Page(ctx context.Context, after string, limit int) ([]Row, error)

	// Ranges returns digests of up to count consecutive ranges of size records
	// each, from after on. The last range of all has an empty Last.
	Ranges(ctx context.Context, after string, size, count int) ([]Range, error)

	// OnSale returns the records that nobody holds, in no order, as the public
	// API lists them.
	OnSale(ctx context.Context) ([]Row, error)
}

// Range stands for the records with ids in (After, Last], or above After if
// Last is empty.
type Range struct {
	After  string `json:"after"`
	Last   string `json:"last"`
	Count  int    `json:"count"`
	Digest uint64 `json:"digest,string"` // of every id, version and deletion; JSON numbers lose bits above 2^53

	// Content is a digest of everything a row has; 0 for a range with rows if
	// the owner is of a release that had none. Digest stays for replicas of
	// such a release.
	Content uint64 `json:"content,string,omitempty"`
}

// covers reports whether id lies in the range.
func (r Range) covers(id string) bool {
	return id > r.After && (r.Last == "" || id <= r.Last)
}

// add counts row in. The sums do not depend on the order of rows.
func (r *Range) add(row Row) {
	r.Count++
	version := fmt.Appendf(nil, "%s\x00%d\x00%t", row.ID, row.Version, row.Deleted)
	r.Digest += digest(version)
	c := row.content()
	r.Content += digest(fmt.Appendf(version, "\x00%s\x00%x\x00%s", c.Title, math.Float64bits(c.Price), c.OrderID))
}

func digest(data []byte) uint64 {
	sum := sha256.Sum256(data)
	return binary.BigEndian.Uint64(sum[:8])
}

// Pager returns up to limit rows with an id above after, by id.
type Pager func(ctx context.Context, after string, limit int) ([]Row, error)

// Ranges digests what pages returns, for owners that serve Canonical.Ranges.
func (pages Pager) Ranges(ctx context.Context, after string, size, count int) ([]Range, error) {
	var ranges []Range
	for len(ranges) < count {
		rows, err := pages(ctx, after, size)
		if err != nil {
			return nil, fmt.Errorf("digest of ids above %q: %w", after, err)
		}
		r := Range{After: after}
		for _, row := range rows {
			r.add(row)
		}
		if len(rows) < size {
			return append(ranges, r), nil
		}
		r.Last = rows[len(rows)-1].ID
		ranges = append(ranges, r)
		after = r.Last
	}
	return ranges, nil
}

// within returns all rows of pages in a range.
func (pages Pager) within(ctx context.Context, r Range, size int) ([]Row, error) {
	var all []Row
	for after := r.After; ; {
		rows, err := pages(ctx, after, size)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if !r.covers(row.ID) {
				return all, nil
			}
			all = append(all, row)
		}
		if len(rows) < size {
			return all, nil
		}
		after = rows[len(rows)-1].ID
	}
}
