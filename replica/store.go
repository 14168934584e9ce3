package replica

import (
	"context"
	"errors"
	"unicode/utf8"
)

// ErrNotFound: the replica has no such row.
var ErrNotFound = errors.New("not found")

// ErrUnreadable: the row is there and cannot be read.
var ErrUnreadable = errors.New("the stored row cannot be read")

// Row is the copy of a ticket.
type Row struct {
	ID      string
	Version int64
	Title   string
	Price   float64
	OrderID string // the order that holds the ticket at its owner; "" while free
	Deleted bool   // a tombstone: kept so that late events do not bring it back
}

// size is about how many bytes of memory the row takes.
func (r Row) size() int { return rowBytes + len(r.ID) + len(r.Title) + len(r.OrderID) }

const rowBytes = 96 // of a row without its texts

// content returns what is compared of a row beside its id and version: nothing
// of a tombstone, and of a title and a price what outlives JSON and a store.
func (r Row) content() Row {
	if r.Deleted {
		return Row{Deleted: true}
	}
	c := Row{Title: r.Title, Price: r.Price + 0, OrderID: r.OrderID} // + 0 makes one zero of two
	if !utf8.ValidString(c.Title) {
		c.Title = string([]rune(c.Title)) // as JSON has it
	}
	return c
}

// sameContent reports whether two rows of one version say the same.
func (r Row) sameContent(other Row) bool { return r.content() == other.content() }

// Write replaces one row, or removes it, on the condition that the stored
// version is From.
type Write struct {
	From   int64 // event.None: the row must not exist
	Row    Row
	Remove bool // the row goes; of Row only the ID counts, and From is not event.None

	// Unreadable is the condition instead of From: there must be a row that
	// cannot be read.
	Unreadable bool
}

// Store keeps the rows. Its methods may be called from many goroutines and
// many processes at once.
type Store interface {
	// Row returns a row, tombstones too, or ErrNotFound.
	Row(ctx context.Context, id string) (Row, error)

	// Versions returns the stored version of those ids that have a row.
	Versions(ctx context.Context, ids []string) (map[string]int64, error)

	// Page returns up to limit rows, tombstones too, with an id above after,
	// by id: fewer if they are large, none behind the last one.
	Page(ctx context.Context, after string, limit int) ([]Row, error)

	// Count returns how many rows there are, without tombstones. It may be an
	// estimate.
	Count(ctx context.Context) (int, error)

	// Write performs the writes, each only if its condition holds, and
	// returns how many did; ids in writes are distinct. When it returns, what
	// it wrote is durable. With an error any part may have been written.
	Write(ctx context.Context, writes []Write) (int, error)
}
