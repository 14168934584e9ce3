package order

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"lockstep/event"
)

const (
	// lookEvery is how often tickets that were told of are looked at, and
	// lookAllEvery how often all are, unless that takes more than a hundredth
	// of the time: it finds what only a process that died was told of.
	lookEvery    = time.Second
	lookAllEvery = time.Minute
	lookAllShare = 100

	// firstAgain is how long a cancellation is given to be heard before it is
	// announced again, twice as long with every further one.
	firstAgain = 5 * time.Second

	// lastVersion is the version of an order that is not announced again: six
	// more announcements after it ended.
	lastVersion = 7

	// maxSeen bounds how many tickets are remembered between two looks. Looking
	// at all finds the others.
	maxSeen = 10_000

	lockPage = 500
)

// Lock is a ticket that the replica shows as locked for a cancelled order, or
// as not locked for the complete order that has it.
type Lock struct {
	TicketID string
	Version  int64 // of the replica's row
	Left     Order // the cancelled order that it is locked for; zero if none
	Active   Order // the order that has it; zero if none
}

// Right reports whether the ticket is locked as it should be. An order that is
// not paid yet may be waiting for its lock.
func (l Lock) Right() bool { return l.Left.ID == "" && l.Active.Status != Complete }

// again returns the order to be announced again so that l ends, and what
// happened to it; nothing while nothing helps.
//
// A tickets service that does not mind whose lock it is clears that of another
// order with a release: none is repeated while an order has the ticket. An order
// that is not paid is not announced again: its payments service would miss
// the version between, and take money after the cancellation. And a ticket that
// is as it was when the order was announced tells that the tickets service has
// not come to it yet. Of an order that a service made which does not keep that,
// as Node's, nothing is known: Node's replicas have no locks either, and after a
// takeover every ticket that was sold looks as if it had lost its own.
func (l Lock) again() (Order, Happening) {
	switch {
	case l.Active.ID == "":
		return l.Left, LockLeft
	case l.Active.Status == Complete && l.Active.LockFrom > 0 && l.Version >= l.Active.LockFrom:
		return l.Active, LockLost
	}
	return Order{}, 0
}

// LockWatchOptions configure a LockWatch; the zero value is right for
// production.
type LockWatchOptions struct {
	// First is how long the replica may show the lock of a cancelled order
	// before the release is announced again; 5 s if 0. The wait doubles with
	// each further announcement, and begins twice as long for the lock of a
	// paid order.
	First time.Duration

	// OnGivenUp is told of an order whose lock stays wrong after the last
	// announcement, once in the life of the process. It must not block; nil to
	// log only.
	OnGivenUp func(context.Context, Order)

	Metrics *Metrics     // not counted if nil
	Log     *slog.Logger // discarded if nil
}

// LockWatch announces orders again, with the next version, where the replica
// keeps showing another lock than theirs: order:cancelled where a ticket is
// locked for a cancelled order, order:created where it is not locked for the
// paid one. A tickets service that does not mind whose lock it is gets there
// when it locks late or is given a release twice. It does so a bounded number
// of times, which the order's version counts.
//
// Several processes may run it on one store.
type LockWatch struct {
	service *Service
	opts    LockWatchOptions
	wrong   map[string]wrong // by ticket; Run's own

	mu   sync.Mutex
	seen map[string]bool
}

// wrong is a lock that should be another.
type wrong struct {
	orderID string
	version int64 // of the order; another one begins a wait of its own
	since   time.Time
	givenUp bool
}

// NewLockWatch returns the job, and has s tell it of the orders that it changes.
// It is made before s is used, and once.
func NewLockWatch(s *Service, o LockWatchOptions) *LockWatch {
	if o.First == 0 {
		o.First = firstAgain
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &LockWatch{service: s, opts: o, wrong: map[string]wrong{}, seen: map[string]bool{}}
	s.onChange = w.Saw
	return w
}

// Saw is told that the replica shows a change of the ticket, or that an order of
// it has changed. It does not block and may be called from many goroutines.
func (w *LockWatch) Saw(ticketID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) < maxSeen {
		w.seen[ticketID] = true
	}
}

// Run works until ctx ends and returns nil then.
func (w *LockWatch) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var all time.Time
	for {
		began := time.Now()
		full := !began.Before(all)
		if err := w.look(ctx, full); err != nil && ctx.Err() == nil {
			w.opts.Log.WarnContext(ctx, "locks are compared with the orders again", "err", err)
		}
		if full {
			all = began.Add(max(lookAllEvery, lookAllShare*time.Since(began)))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look announces what is due of what was seen and what is watched, or of all.
func (w *LockWatch) look(ctx context.Context, full bool) error {
	found := map[string]wrong{}
	for page := range slices.Chunk(w.candidates(), lockPage) {
		if err := w.lookAt(ctx, page, found); err != nil {
			return err
		}
	}
	for after := ""; full; {
		page, err := w.service.tickets.TicketIDs(ctx, after, lockPage)
		if err == nil {
			err = w.lookAt(ctx, page, found)
		}
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1]
	}
	w.wrong = found
	return nil
}

// candidates returns what was seen since the last look, and what is watched.
func (w *LockWatch) candidates() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.wrong {
		w.seen[id] = true
	}
	ids := slices.Collect(maps.Keys(w.seen))
	clear(w.seen)
	return ids
}

// lookAt notes in found which of the tickets have a wrong lock that can be
// mended, and announces the order that does if that is due.
func (w *LockWatch) lookAt(ctx context.Context, ids []string, found map[string]wrong) error {
	if len(ids) == 0 {
		return nil
	}
	locks, err := w.service.tickets.Locks(ctx, ids)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, l := range locks {
		o, h := l.again()
		if _, done := found[l.TicketID]; o.ID != "" && !done {
			found[l.TicketID] = w.mend(ctx, l, o, h, now)
		}
	}
	return nil
}

// mend announces the order that l needs, if it is due, and returns what is to be
// remembered of l.
func (w *LockWatch) mend(ctx context.Context, l Lock, o Order, h Happening, now time.Time) wrong {
	known := w.wrong[l.TicketID]
	if known.orderID != o.ID || known.version != o.Version {
		known = wrong{orderID: o.ID, version: o.Version, since: now}
	}
	switch {
	case known.givenUp || now.Sub(known.since) < w.pause(o, h):
	case o.Version >= lastVersion:
		w.giveUp(ctx, o)
		known.givenUp = true
	default:
		w.announce(ctx, l, o, h)
	}
	return known
}

// pause is how long a lock must have been wrong at the order's version. That of
// a paid order may be on its way for longer than a release: a tickets service
// that lost it to an edit takes it up again after 5 s.
func (w *LockWatch) pause(o Order, h Happening) time.Duration {
	doubled := o.Version - 1
	if h == LockLost {
		doubled++
	}
	return w.opts.First << min(max(doubled, 0), lastVersion)
}

// announce announces o again, unless somebody has changed it meanwhile.
func (w *LockWatch) announce(ctx context.Context, l Lock, o Order, h Happening) {
	d := Decide(o, h, "", false)
	if !d.changes() { // it has become another since the ticket was read
		return
	}
	if h == LockLost {
		d.Now.LockFrom = l.Version + 1
	}
	err := w.service.commit(ctx, d, nil)
	switch {
	case errors.Is(err, ErrConflict):
	case err != nil:
		w.opts.Log.WarnContext(ctx, "an order whose ticket has another lock is announced later", "order_id", o.ID, "err", err)
	default:
		w.opts.Metrics.again(d.Announce)
		w.opts.Log.InfoContext(ctx, "a ticket has not the lock that it should have: its order is announced again",
			"ticket_id", o.TicketID, "locked_for_cancelled", l.Left.ID, "announced", string(d.Announce), "order_id", o.ID, "version", d.Now.Version)
	}
}

// giveUp calls for a person.
func (w *LockWatch) giveUp(ctx context.Context, o Order) {
	msg := "a ticket stays locked for a cancelled order: its tickets service does not release it"
	if o.Status == Complete {
		msg = "the ticket of a paid order is not locked: its tickets service does not keep the lock"
	}
	w.opts.Log.ErrorContext(ctx, msg, "order_id", o.ID, "ticket_id", o.TicketID, "version", o.Version)
	if w.opts.OnGivenUp != nil {
		w.opts.OnGivenUp(ctx, o)
	}
}

// announcedAgain lists the subjects of what is announced again.
func announcedAgain() []event.Subject {
	return []event.Subject{event.OrderCreated, event.OrderCancelled}
}
