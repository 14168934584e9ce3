package replica

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
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
	// ErrNotFound if its owner never had it, or ErrUnreadable if its owner has
	// it and cannot read it.
	Snapshot(ctx context.Context, id string) (Row, error)

	// Page returns up to limit records, held and deleted ones too, with an id
	// above after, by id: fewer if they are large, none behind the last one.
	Page(ctx context.Context, after string, limit int) ([]Row, error)

	// Ranges returns digests of up to count consecutive ranges of size records
	// each, from after on. The last range of all has an empty Last.
	Ranges(ctx context.Context, after string, size, count int) ([]Range, error)

	// OnSale yields the records that nobody holds, in no order, as the public
	// API lists them. An error ends the sequence.
	OnSale(ctx context.Context) iter.Seq2[Row, error]
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
	digest, content := row.digests()
	r.Digest += digest
	r.Content += content
}

// digests returns those of a row's id, version and deletion, and of everything
// that it has.
func (r Row) digests() (version, content uint64) {
	printed := fmt.Appendf(nil, "%s\x00%d\x00%t", r.ID, r.Version, r.Deleted)
	c := r.content()
	all := fmt.Appendf(printed, "\x00%s\x00%x\x00%s", c.Title, math.Float64bits(c.Price), c.OrderID)
	return digest(printed), digest(all)
}

func digest(data []byte) uint64 {
	sum := sha256.Sum256(data)
	return binary.BigEndian.Uint64(sum[:8])
}

// Pager returns up to limit rows with an id above after, by id: fewer if they
// are large, none behind the last one.
type Pager func(ctx context.Context, after string, limit int) ([]Row, error)

// Ranges digests what pages returns, for owners that serve Canonical.Ranges.
func (pages Pager) Ranges(ctx context.Context, after string, size, count int) ([]Range, error) {
	ranges, r := []Range(nil), Range{After: after}
	for row, err := range pages.above(ctx, after, size) {
		if err != nil {
			return nil, fmt.Errorf("digest of ids above %q: %w", r.After, err)
		}
		r.add(row)
		if r.Count < size {
			continue
		}
		r.Last = row.ID
		ranges = append(ranges, r)
		if len(ranges) == count {
			return ranges, nil
		}
		r = Range{After: row.ID}
	}
	return append(ranges, r), nil
}

// above yields all rows with an id above after, by id, page by page.
func (pages Pager) above(ctx context.Context, after string, size int) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for {
			rows, err := pages(ctx, after, size)
			if err != nil {
				yield(Row{}, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
				after = row.ID
			}
			if len(rows) == 0 {
				return
			}
		}
	}
}

// within yields all rows in a range, by id.
func (pages Pager) within(ctx context.Context, r Range, size int) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for row, err := range pages.above(ctx, r.After, size) {
			if err == nil && !r.covers(row.ID) || !yield(row, err) || row.ID == r.Last {
				return
			}
		}
	}
}
