package outbox

import (
	"context"
	"errors"
	"time"
)

// Errors of stores. Match with errors.Is.
var (
	// ErrTailLost: the store cannot tell any more what was committed since the
	// tail was opened. Open a new one and scan it.
	ErrTailLost = errors.New("tail lost")

	// ErrLeaseLost: somebody else holds the lease, or may.
	ErrLeaseLost = errors.New("lease lost")

	// ErrNotFound: no such record.
	ErrNotFound = errors.New("not found")
)

// PageBytes bounds the payloads that Scan, Next, Key, Due and Stale return
// together, but for the last one. What ends there says nothing of what follows.
const PageBytes = 2 << 20

// Store is the collection of events, as the relay needs it. Its methods may be
// called from many goroutines. What is no event, because somebody else wrote
// it, they pass over. Services fill it through the ports of their own
// packages: an event enters only together with its change.
type Store interface {
	// Tail opens a view of the outbox: everything committed before Tail
	// returned comes from its Scan, everything after from its Next.
	Tail(ctx context.Context) (Tail, error)

	// Oldest returns when the event occurred that was stored first, the zero
	// time if none waits.
	Oldest(ctx context.Context) (time.Time, error)

	// Key returns up to limit records of one key with a version above after,
	// in version order.
	Key(ctx context.Context, key string, after int64, limit int) ([]Record, error)

	// Delete removes records. Those that do not exist are no error.
	Delete(ctx context.Context, refs []Ref) error

	// Fail unlocks a record until notBefore and adds f to its failures. It
	// returns the record as it is now; ErrNotFound if it is gone.
	Fail(ctx context.Context, id string, f Failure, notBefore time.Time) (Record, error)

	// Due returns up to limit records that are unlocked, whose NotBefore is
	// not after now, or after latest, which only a clock that was ahead can
	// have written, and which are the oldest of their key: what
	// RetryPublishingNATSEvents takes up.
	Due(ctx context.Context, now, latest time.Time, limit int) ([]Record, error)

	// Stale returns up to limit records that are locked since before the
	// given time, or after latest, and which are the oldest of their key.
	Stale(ctx context.Context, before, latest time.Time, limit int) ([]Record, error)

	// Relock locks records again, at the given time, and returns the ids of
	// those that are still there.
	Relock(ctx context.Context, ids []string, at time.Time) ([]string, error)
}

// Tail is one pass over the outbox: first what was there, then what comes. It
// belongs to one goroutine.
type Tail interface {
	// Scan returns the next page of at most limit records that were committed
	// before the tail was opened; versions of one key come in ascending
	// order. An empty page ends the scan. Records deleted meanwhile may be
	// missing, and records that Next also returns may be in it.
	Scan(ctx context.Context, limit int) ([]Record, error)

	// Next waits for events committed after the tail was opened and returns
	// them, each at least once. An empty Wake is an idle tick, sent at least
	// once a second or so. After ErrTailLost, or any other error, only Close
	// may be called.
	Next(ctx context.Context) (Wake, error)

	// Close releases what the tail holds.
	Close() error
}

// Wake is what a tail reports.
type Wake struct {
	Source  Source
	Records []Record

	// InOrder: versions of one key come in ascending order, over all wakes of
	// this tail that say so, and none is left out. Otherwise the records are
	// a hint: they are committed, and every one of them will come again from
	// a wake that is in order.
	InOrder bool
}

// Source says how the relay came to hear of an event.
type Source string

// The sources, counted apart so that a broken one is seen.
const (
	FromCommit Source = "commit" // a commit of this process
	FromStream Source = "stream" // the store's change stream
	FromSweep  Source = "sweep"  // a scan or a periodic look
)

// Leases decide which process runs the relay. The clock is the store's. A lease
// that would run for more than twice what is asked for was written by a clock
// that was ahead, and counts as run out.
type Leases interface {
	// Acquire takes the named lease for owner if it is free or has run out;
	// ok is false when somebody else holds it. Each acquisition raises the
	// epoch of that name, which never falls.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l Lease, ok bool, err error)

	// Renew extends a lease that is still held; ErrLeaseLost otherwise.
	Renew(ctx context.Context, l Lease, ttl time.Duration) error

	// Release gives the lease up, so that another process can take it at
	// once. A lease that was lost is left alone.
	Release(ctx context.Context, l Lease) error
}

// Lease is the right to run the relay, until it runs out.
type Lease struct {
	Name  string
	Owner string // unique to one start of one process
	Epoch int64  // raised by each acquisition

	// Settled: the holder before, if there was one, gave the lease up and left
	// no event whose outcome is not known. Release tells it to the next one.
	Settled bool
}

// Inspector is the operator's view of the outbox. Its methods may be called
// from many goroutines.
type Inspector interface {
	// Stats describes everything that waits.
	Stats(ctx context.Context) (Stats, error)

	// List returns up to limit records without their payloads, unreadable ones
	// among them, in an order of the store's own, behind the one with the id
	// after, which may be gone; "" begins. They are fewer if they are large,
	// and none behind the last one.
	List(ctx context.Context, after string, limit int) ([]Record, error)

	// Record returns one record, readable or not, or ErrNotFound.
	Record(ctx context.Context, id string) (Record, error)

	// Retry unlocks a record and makes it due at once; ErrNotFound if it is
	// gone.
	Retry(ctx context.Context, id string, now time.Time) error

	// Discard deletes a record, readable or not, without publishing it; ErrNotFound if it is
	// gone. Replicas will miss its version.
	Discard(ctx context.Context, id string) error
}
