package replica

import (
	"context"
	"errors"
)

// ErrNotFound: the replica has no such row.
var ErrNotFound = errors.New("not found")

// Row is the copy of a ticket.
type Row struct {
	ID      string
	Version int64
	Title   string
	Price   float64
	OrderID string // the order that holds the ticket at its owner; "" while free
	Deleted bool   // a tombstone: kept so that late events do not bring it back
}

// Write replaces one row on the condition that the stored version is From.
type Write struct {
	From int64 // event.None: the row must not exist
	Row  Row
}

// Store keeps the rows. Its methods may be called from many goroutines and
// many processes at once.
type Store interface {
	// Row returns a row, tombstones too, or ErrNotFound.
	Row(ctx context.Context, id string) (Row, error)

	// Versions returns the stored version of those ids that have a row.
	Versions(ctx context.Context, ids []string) (map[string]int64, error)

	// Page returns up to limit rows, tombstones too, with an id above after,
	// by id.
	Page(ctx context.Context, after string, limit int) ([]Row, error)

	// Count returns how many rows there are, without tombstones. It may be an
	// estimate.
	Count(ctx context.Context) (int, error)

	// Write performs the writes, each only if its condition holds, and
	// returns how many did; ids in writes are distinct. When it returns, what
	// it wrote is durable. With an error any part may have been written.
	Write(ctx context.Context, writes []Write) (int, error)
}
