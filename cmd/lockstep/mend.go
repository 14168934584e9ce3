package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"lockstep/api"
	"lockstep/event"
	"lockstep/listeners"
	"lockstep/replica"
	"lockstep/ticket"
)

// A comparison that fails is tried again after mendPause, later and later up
// to mendLongest. The first one that nothing asked for comes after firstLook at
// the latest: the owner may be starting too. After one that took longer than
// mendLong the next that nothing asks for comes mendShare times as long later, at
// most mendRest: rows that the owner does not have, which anybody can make, cost
// both services a request or two each.
const (
	mendPause   = time.Second
	mendLongest = time.Minute
	firstLook   = time.Minute
	mendLong    = 10 * time.Second
	mendShare   = 9
	mendRest    = time.Hour
)

// mending compares a service with the owner of what it copies: when it is told
// that something may be missing, and from time to time.
type mending struct {
	what   string // for the log
	every  time.Duration
	wanted chan struct{}
	mend   func(context.Context, replica.Cause) error
	mended func() // called after a whole comparison, unless another one is wanted; nil does nothing
	log    *slog.Logger
}

func newMending(what string, every time.Duration, log *slog.Logger, mend func(context.Context, replica.Cause) error) *mending {
	return &mending{what: what, every: every, wanted: make(chan struct{}, 1), mend: mend, log: log}
}

// want asks for a comparison. It does not block; while one is asked for, more
// are the same.
func (m *mending) want() {
	select {
	case m.wanted <- struct{}{}:
	default:
	}
}

// done is called at the end of a whole comparison.
func (m *mending) done() {
	if m.mended != nil && len(m.wanted) == 0 {
		m.mended()
	}
}

// run compares whenever it is wanted or due, until ctx ends.
func (m *mending) run(ctx context.Context) error {
	for wait := min(m.every, firstLook); ; {
		due := time.NewTimer(wait + rand.N(wait/8)) // not all processes at once
		cause := replica.ByLook
		select {
		case <-ctx.Done():
		case <-m.wanted:
			cause = replica.ByLoss
		case <-due.C:
		}
		due.Stop()
		took := m.try(ctx, cause)
		if ctx.Err() != nil {
			return nil
		}
		if wait = m.every; took > mendLong {
			wait = max(wait, min(mendShare*took, mendRest))
		}
	}
}

// try compares until a comparison succeeds or ctx ends, and returns how long the
// last one took.
func (m *mending) try(ctx context.Context, cause replica.Cause) time.Duration {
	for wait := mendPause; ctx.Err() == nil; wait = min(2*wait, mendLongest) {
		began := time.Now()
		err := m.mend(ctx, cause)
		if err == nil || ctx.Err() != nil {
			return time.Since(began)
		}
		m.log.WarnContext(ctx, "comparison with the owner is tried again", "what", m.what, "in", wait, "err", err)
		pause := time.NewTimer(wait + rand.N(wait/4))
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
	return 0
}

// level is how loud a comparison is told of: nothing is said of one that nobody
// asked for and that found nothing.
func level(cause replica.Cause, found int) slog.Level {
	if cause == replica.ByLook && found == 0 {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// lookForLosses looks for what was lost in the channels of the group, and has
// it mended if there is somebody to ask: of those in owned there may be.
func (s *service) lookForLosses(group string, subjects, owned []event.Subject) {
	s.losses = listeners.NewLosses(s.store.marks, listeners.LossOptions{
		Group: group, Subjects: subjects, Alone: s.store.alone, Log: s.log, Registerer: s.reg,
		OnLoss: func(_ context.Context, loss listeners.Loss) {
			asked := s.mending != nil && slices.Contains(owned, loss.Channel)
			if asked {
				s.mending.want() // before the loss is raised: what ends now did not see it
			}
			s.raiseLoss(loss, asked)
		},
	})
}

// comparer compares the replica with its owner: at once when it mends, with a
// grace for what is on its way when it only looks, or takes something away.
type comparer struct {
	look, mend *replica.Verifier
	repairer   *replica.Repairer
	metrics    *replica.Metrics
	filling    *filling
	mended     func(replica.Mended) // told of every mending that came to its end
}

func (c comparer) Verify(ctx context.Context, progress replica.Progress, drifted func(replica.Drift) error) (replica.Verified, error) {
	return c.look.Verify(ctx, progress, drifted)
}

func (c comparer) Mend(ctx context.Context, o replica.MendOptions) (replica.Mended, error) {
	o.Metrics = c.metrics
	v := c.mend
	if o.TrustOwner || o.Cause == replica.ByLook {
		v = c.look
	}
	sum, err := v.Mend(ctx, o)
	c.filling.tried(ctx, err)
	if err == nil {
		c.mended(sum)
	}
	return sum, err
}

func (c comparer) Reset(ctx context.Context, id string) (before, after *replica.Row, err error) {
	return c.repairer.Reset(ctx, id)
}

// mendReplica lets the replica be compared with its owner: by an operator,
// after a loss in the broker, and once when it is empty.
func (p *program) mendReplica(s *service, owner *api.Owner, repairer *replica.Repairer, metrics *replica.Metrics) {
	c := comparer{
		look: replica.NewVerifier(s.store.replica, owner, replica.DefaultGrace),
		mend: replica.NewVerifier(s.store.replica, owner, 0), repairer: repairer, metrics: metrics, mended: s.raiseDrift,
		filling: newFilling(s.store.marks, s.store.replica.Count),
	}
	s.filling = c.filling
	s.checks = append(s.checks, api.Check{Name: s.name + " replica", Probe: c.filling.check})
	p.compare = c
	s.mending = newMending("replica", p.listening.CompareEvery, s.log, func(ctx context.Context, cause replica.Cause) error {
		sum, err := c.Mend(ctx, replica.MendOptions{Cause: cause})
		if err == nil {
			s.log.Log(ctx, level(cause, sum.Repaired+sum.LeftOver), "replica compared with its owner", "compared", sum.Compared, "repaired", sum.Repaired,
				"left_over", sum.LeftOver, "public_api_only", sum.Public)
			s.mending.done()
		}
		return err
	})
	s.mending.mended = func() { s.resolveLosses(event.TicketSubjects()) }
	s.jobs = append(s.jobs, func(ctx context.Context) error {
		// The bus may not go back to the beginning. A replica of which nothing
		// is known may be empty, and a comparison of a full one does no harm.
		if ended, err := c.filling.begin(ctx); err != nil || !ended {
			s.mending.want()
		}
		return s.mending.run(ctx)
	})
}

// reconciler compares the locks with the orders service.
type reconciler struct {
	tickets    *ticket.Service
	orders     ticket.Orders
	reconciled func(ticket.Reconciled) // told of every comparison of all that came to its end
}

func (r reconciler) Reconcile(ctx context.Context, o ticket.ReconcileOptions) (ticket.Reconciled, error) {
	sum, err := r.tickets.Reconcile(ctx, r.orders, o)
	if err == nil && o.After == "" {
		r.reconciled(sum)
	}
	return sum, err
}

func (r reconciler) ResetLock(ctx context.Context, orderID string) (before, after ticket.Lock, err error) {
	return r.tickets.ResetLock(ctx, r.orders, orderID)
}

// mendLocks lets the locks be compared with the orders service: by an operator,
// after a loss in the broker, and from time to time. In a process of both
// services the one address serves both ways.
func (p *program) mendLocks(s *service, tickets *ticket.Service, metrics *ticket.Metrics) error {
	if p.listening.CanonicalURL == "" {
		return nil
	}
	owner, err := api.NewOwner(p.listening.CanonicalURL, p.ops.OpsToken)
	if err != nil {
		return &usageError{"CANONICAL_URL: " + err.Error()}
	}
	r := reconciler{tickets: tickets, orders: owner.Orders(), reconciled: func(sum ticket.Reconciled) {
		metrics.Reconciled(sum)
		s.raiseLockDrift(sum)
	}}
	p.conform = r
	var sum ticket.Reconciled // of all, also where an attempt broke off
	s.mending = newMending("locks", p.listening.CompareEvery, s.log, func(ctx context.Context, cause replica.Cause) error {
		part, err := tickets.Reconcile(ctx, r.orders, ticket.ReconcileOptions{After: sum.After})
		sum.Add(part)
		if errors.Is(err, replica.ErrPublic) {
			s.log.Log(ctx, level(cause, 0), "locks cannot be compared: CANONICAL_URL is a public API, which does not list orders", "err", err)
			return nil
		}
		if err == nil {
			r.reconciled(sum)
			s.log.Log(ctx, level(cause, sum.Locked+sum.Released+sum.Forged+sum.NoOrder+sum.NoTicket), "locks compared with the orders service", "compared", sum.Compared,
				"locked", sum.Locked, "released", sum.Released, "forged", sum.Forged, "no_order", sum.NoOrder, "no_ticket", sum.NoTicket)
			sum = ticket.Reconciled{}
			s.mending.done()
		}
		return err
	})
	s.mending.mended = func() { s.resolveLosses(event.OrderSubjects()) }
	s.jobs = append(s.jobs, s.mending.run)
	return nil
}
