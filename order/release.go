package order

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// lookEvery is how often orders whose lock may be left behind are looked
	// at, and lookAllEvery how often all tickets are that an order locks.
	lookEvery    = time.Second
	lookAllEvery = time.Minute

	// firstRelease is how long a cancellation is given to be heard before it is
	// announced again, twice as long with every further one.
	firstRelease = 5 * time.Second

	// lastVersion is the version of a cancelled order that is not announced
	// again: six more announcements after the first.
	lastVersion = 7

	// maxSeen bounds how many locked tickets are remembered between two looks.
	// Looking at all finds the others.
	maxSeen = 10_000

	lockPage = 500

	// lastClaim is the version of a complete order that is not announced again:
	// a tickets service that minds whose lock it is waits for the release of
	// the other one.
	lastClaim = 3
)

// ReleasesOptions configure Releases; the zero value is right for production.
type ReleasesOptions struct {
	// First is how long the replica may show the lock of a cancelled order
	// before the release is announced again; 5 s if 0. The wait doubles with
	// each further announcement.
	First time.Duration

	// OnGivenUp is told of an order whose ticket stays locked after the last
	// announcement, once in the life of the process. It must not block; nil to
	// log only.
	OnGivenUp func(context.Context, Order)

	Metrics *Metrics     // not counted if nil
	Log     *slog.Logger // discarded if nil
}

// Releases announces order:cancelled again, with the next version, where the
// replica keeps showing a ticket as locked by an order that was cancelled: a
// tickets service may lock late, for an order that has ended meanwhile. It does
// so a bounded number of times, which the order's version counts.
//
// A tickets service that does not mind whose lock it is would clear that of
// another order with it. So while another one has the ticket, nothing is said,
// and once that one is complete, its lock is announced again instead.
//
// Several processes may run it on one store.
type Releases struct {
	service *Service
	opts    ReleasesOptions
	left    map[string]leftBehind // by order; Run's own

	mu   sync.Mutex
	seen map[string]bool
}

// leftBehind is a lock that should be gone.
type leftBehind struct {
	version int64 // of the order; another one begins a wait of its own
	since   time.Time
	givenUp bool
}

// NewReleases returns the job.
func NewReleases(s *Service, o ReleasesOptions) *Releases {
	if o.First == 0 {
		o.First = firstRelease
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Releases{service: s, opts: o, left: map[string]leftBehind{}, seen: map[string]bool{}}
}

// Saw is told that the replica shows a ticket as locked by the order. It does
// not block and may be called from many goroutines.
func (r *Releases) Saw(orderID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) < maxSeen {
		r.seen[orderID] = true
	}
}

// Run works until ctx ends and returns nil then.
func (r *Releases) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var all time.Time
	for {
		full := time.Since(all) >= lookAllEvery
		if full {
			all = time.Now()
		}
		if err := r.look(ctx, full); err != nil && ctx.Err() == nil {
			r.opts.Log.WarnContext(ctx, "locks of cancelled orders are looked for again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look releases what is due of what was seen and what is watched, or of all.
func (r *Releases) look(ctx context.Context, full bool) error {
	candidates := r.candidates()
	left := map[string]leftBehind{}
	for page := range slices.Chunk(candidates, lockPage) {
		if err := r.lookAt(ctx, page, left); err != nil {
			return err
		}
	}
	for after := ""; full; {
		page, err := r.service.tickets.Lockers(ctx, after, lockPage)
		if err == nil {
			err = r.lookAt(ctx, page, left)
		}
		if err != nil {
			return err
		}
		if len(page) < lockPage {
			break
		}
		after = page[len(page)-1]
	}
	r.left = left
	return nil
}

// candidates returns what was seen since the last look, and what is watched.
func (r *Releases) candidates() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.left {
		r.seen[id] = true
	}
	ids := slices.Collect(maps.Keys(r.seen))
	clear(r.seen)
	return ids
}

// lookAt notes in left which of the orders have a lock that should be gone, and
// releases it if it is due.
func (r *Releases) lookAt(ctx context.Context, ids []string, left map[string]leftBehind) error {
	if len(ids) == 0 {
		return nil
	}
	found, err := r.service.tickets.LeftLocked(ctx, ids)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, lock := range found {
		o := lock.Order
		if _, done := left[o.ID]; done {
			continue
		}
		l, known := r.left[o.ID]
		if !known || l.version != o.Version {
			l = leftBehind{version: o.Version, since: now}
		}
		if !l.givenUp && now.Sub(l.since) >= r.pause(o) {
			if err := r.release(ctx, lock, &l); err != nil {
				r.opts.Log.WarnContext(ctx, "a release that is due again will be tried again", "order_id", o.ID, "err", err)
			}
		}
		left[o.ID] = l
	}
	return nil
}

// pause is how long a lock must have been left behind at the order's version.
func (r *Releases) pause(o Order) time.Duration {
	return r.opts.First << min(max(o.Version-1, 0), lastVersion-1)
}

// release announces what takes the lock away, and begins to wait again.
func (r *Releases) release(ctx context.Context, lock LeftLock, l *leftBehind) error {
	o, happens := lock.Order, LockLeft
	if lock.Active != "" {
		holder, err := r.service.store.Order(ctx, lock.Active)
		if err != nil || holder.Status != Complete {
			return err
		}
		if holder.Version < lastClaim {
			o, happens = holder, LockTaken
		}
	}
	if happens == LockLeft && o.Version >= lastVersion {
		r.giveUp(ctx, o, l)
		return nil
	}
	d, err := r.service.apply(ctx, o.ID, happens)
	if err != nil || !d.changes() {
		return err
	}
	l.since = time.Now()
	r.opts.Metrics.releasedAgain()
	r.opts.Log.InfoContext(ctx, "a ticket is still locked by a cancelled order: announced again",
		"ticket_id", o.TicketID, "locked_by", lock.Order.ID, "announced", string(d.Announce), "order_id", o.ID, "version", d.Now.Version)
	return nil
}

// giveUp calls for a person.
func (r *Releases) giveUp(ctx context.Context, o Order, l *leftBehind) {
	l.givenUp = true
	r.opts.Log.ErrorContext(ctx, "a ticket stays locked by a cancelled order: its tickets service does not release it",
		"order_id", o.ID, "ticket_id", o.TicketID, "version", o.Version)
	if r.opts.OnGivenUp != nil {
		r.opts.OnGivenUp(ctx, o)
	}
}
