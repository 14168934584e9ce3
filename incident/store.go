package incident

import (
	"context"
	"errors"
	"time"
)

// Errors of stores. Match with errors.Is.
var (
	// ErrNotFound: no such incident.
	ErrNotFound = errors.New("not found")

	// ErrConflict: somebody else wrote the incident meanwhile, or opened one of
	// the same key. Read and decide again.
	ErrConflict = errors.New("incident was written meanwhile")
)

// Store keeps incidents durably. Its methods may be called from many
// goroutines and many processes.
type Store interface {
	// Incident returns one incident, or ErrNotFound.
	Incident(ctx context.Context, id string) (Incident, error)

	// List returns what q asks for, the newest first: fewer if they are large,
	// none behind the last one.
	List(ctx context.Context, q Query) ([]Incident, error)

	// Due returns up to limit incidents whose notice is due at now, those that
	// have waited longest first: fewer if they are large. One that is to wait
	// beyond latest was written by a clock that was ahead, and is due.
	Due(ctx context.Context, now, latest time.Time, limit int) ([]Incident, error)

	// Write stores i, with its revision raised by one: as a new one if the
	// revision is 0, otherwise in the place of the one with that revision.
	// ErrConflict if there is none, if the id is taken, or if i is open and
	// another one of its key is, too.
	Write(ctx context.Context, i Incident) error

	// Prune deletes incidents that were closed before a time, and of the
	// closed ones all but the newest keep.
	Prune(ctx context.Context, before time.Time, keep int) error

	// Counts returns how many incidents of each cause are open; a cause
	// without any may be missing.
	Counts(ctx context.Context) (map[Cause]int, error)
}

// Query says which incidents to list.
type Query struct {
	Key      string // only openings of this key; "" for all
	Cause    Cause  // only of this cause; "" for all
	OpenOnly bool
	Closed   bool   // only closed ones
	Before   string // the id to go on behind; "" begins with the newest
	Limit    int
}
