package listeners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrQuarantineFull: the group has as much in quarantine as it may. Nothing is
// dropped: what would have to be set aside stays unacknowledged.
var ErrQuarantineFull = errors.New("quarantine is full")

const (
	quarantinePage = 256 // entries taken from quarantine together
	maxDetail      = 500 // bytes of the sentence that says why

	// After a count the next one is put off by countShare times what it took,
	// by countEvery at least and countRest at most: what lies there costs a
	// process next to nothing, however much it is.
	countShare = 100
	countEvery = 5 * time.Second
	countRest  = time.Minute
)

// quarantine is a listener's side of the store of messages that were set
// aside.
type quarantine struct {
	store Quarantine
	group string
	limit Size
	log   *slog.Logger
	waits atomic.Bool  // something in it may wait to be applied
	known atomic.Bool  // the last count succeeded
	stale atomic.Bool  // it is counted again as soon as can be
	total atomic.Int64 // entries of the group, as of the last count and what was done since
	bytes atomic.Int64 // likewise, of their payloads

	mu     sync.Mutex
	told   time.Time // when it was logged last that messages were set aside
	untold int       // how many were since
}

func newQuarantine(store Quarantine, o Options) *quarantine {
	return &quarantine{store: store, group: o.Group, limit: Size{o.QuarantineLimit, o.QuarantineBytes}, log: o.Log}
}

func (q *quarantine) id(d *delivery) string {
	return QuarantineID(q.group, d.channel.subject, d.payload)
}

// full returns ErrQuarantineFull if nothing more may be set aside.
func (q *quarantine) full() error {
	if n := q.total.Load(); n >= int64(q.limit.Messages) {
		return fmt.Errorf("%w: %d messages, QUARANTINE_LIMIT is %d: discard or retry some (lockstep replica quarantine)", ErrQuarantineFull, n, q.limit.Messages)
	}
	if n := q.bytes.Load(); n >= q.limit.Bytes {
		return fmt.Errorf("%w: messages of %d bytes, QUARANTINE_BYTES is %d: discard or retry some (lockstep replica quarantine)", ErrQuarantineFull, n, q.limit.Bytes)
	}
	return nil
}

// put sets deliveries aside, durably.
func (q *quarantine) put(ctx context.Context, ds []*delivery) error {
	if err := q.full(); err != nil {
		return err
	}
	entries := make([]Quarantined, len(ds))
	for i, d := range ds {
		entries[i] = Quarantined{
			ID: q.id(d), Group: q.group, Subject: d.channel.subject, Sequence: d.sequence,
			Key: d.item.Key, Version: d.item.Version, Predecessor: d.item.Predecessor, Payload: d.payload,
			Reason: d.reason, Detail: sentence(d.detail), At: time.Now().UTC(),
		}
	}
	if err := q.store.Put(ctx, entries); err != nil {
		return err
	}
	q.total.Add(int64(len(entries)))
	for _, e := range entries {
		q.bytes.Add(int64(len(e.Payload)))
	}
	if slices.ContainsFunc(entries, Quarantined.waits) {
		q.waits.Store(true)
	}
	q.tell(ctx, entries)
	return nil
}

// sentence cuts detail to what an entry may hold.
func sentence(detail string) string {
	return strings.ToValidUTF8(detail[:min(len(detail), maxDetail)], "")
}

// tell logs that messages were set aside: one of them, and how many there were
// since the last time.
func (q *quarantine) tell(ctx context.Context, entries []Quarantined) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.untold += len(entries)
	if now := time.Now(); now.Sub(q.told) >= reportEvery {
		e := entries[0]
		q.log.WarnContext(ctx, "messages were set aside, of which this is one", "group", q.group, "messages", q.untold,
			"in_quarantine", q.total.Load(), "id", e.ID, "subject", e.Subject, "sequence", e.Sequence, "key", sentence(e.Key),
			"version", e.Version, "reason", e.Reason, "detail", e.Detail)
		q.told, q.untold = now, 0
	}
}

// remove deletes entries and returns how many there were.
func (q *quarantine) remove(ctx context.Context, ids []string) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	n, err := q.store.Remove(ctx, ids)
	q.total.Add(-int64(n))
	return n, err
}

// applicable returns what waits of the keys that reached a version and can be
// applied, and the keys that did not fit.
func (q *quarantine) applicable(ctx context.Context, reached map[string]int64) (entries []Quarantined, more map[string]int64, err error) {
	if entries, err = q.store.Applicable(ctx, q.group, reached, quarantinePage); err != nil || len(entries) == 0 {
		return nil, nil, err
	}
	// What follows of the last key is asked for once this is applied.
	last := entries[len(entries)-1].Key
	maps.DeleteFunc(reached, func(key string, _ int64) bool { return key <= last })
	return entries, reached, nil
}

// watch counts what there is now and then, until ctx ends, and sees in between
// whether the store answers: what is there is not known otherwise.
func (q *quarantine) watch(ctx context.Context) {
	for due := (time.Time{}); ctx.Err() == nil; pause(ctx, countEvery) {
		began := time.Now()
		early, look := began.Before(due) && !q.stale.Swap(false), q.count
		if early {
			look = q.answers
		}
		switch err := look(ctx); {
		case err != nil && ctx.Err() == nil:
			due = time.Time{}
			q.known.Store(false)
			q.log.WarnContext(ctx, "quarantine is not counted and will be looked at again", "group", q.group, "err", err)
		case err == nil && !early:
			due = time.Now().Add(min(countShare*time.Since(began), countRest))
		}
	}
}

// count refreshes how much there is.
func (q *quarantine) count(ctx context.Context) error {
	size, err := q.store.Size(ctx, q.group)
	if err == nil {
		q.total.Store(int64(size.Messages))
		q.bytes.Store(size.Bytes)
	}
	q.known.Store(err == nil)
	return err
}

// answers returns why the store does not answer, as far as an entry shows that is
// not there.
func (q *quarantine) answers(ctx context.Context) error {
	_, err := q.store.Get(ctx, "none")
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnreadable) {
		return nil
	}
	return err
}
