package ticket

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// maxDecisions bounds how often one call reads and decides again after a
// conflict. Each further round needs yet another writer to win in between.
const maxDecisions = 32

// Options of a Service; the zero value is right for production.
type Options struct {
	Now     func() time.Time // the clock; time.Now if nil
	NewID   func() string    // ids of new tickets; objectid.New if nil
	Metrics *Metrics         // counts conflicts; not counted if nil
}

// Service applies the rules of tickets. It keeps no state and may be used from
// many goroutines and in many processes on one store.
type Service struct {
	store   Store
	now     func() time.Time
	newID   func() string
	metrics *Metrics
}

// NewService returns a service over store.
func NewService(store Store, o Options) *Service {
	s := &Service{store: store, now: o.Now, newID: o.NewID, metrics: o.Metrics}
	if s.now == nil {
		s.now = time.Now
	}
	if s.newID == nil {
		s.newID = objectid.New
	}
	if s.metrics == nil {
		s.metrics = NewMetrics(nil)
	}
	return s
}

// Draft is what a user says of a ticket.
type Draft struct {
	Title string
	Price float64
}

// Create stores a new ticket of userID with its ticket:created event.
func (s *Service) Create(ctx context.Context, userID string, d Draft) (Ticket, error) {
	t := Ticket{ID: s.newID(), Title: d.Title, Price: d.Price, UserID: userID, Version: event.First}
	if err := s.commit(ctx, nil, &t); err != nil {
		return Ticket{}, fmt.Errorf("create ticket %s: %w", t.ID, err)
	}
	return t, nil
}

// Ticket returns one ticket, held or free, or ErrNotFound.
func (s *Service) Ticket(ctx context.Context, id string) (Ticket, error) {
	t, err := s.store.Ticket(ctx, id)
	if err == nil && t.Deleted {
		err = ErrNotFound
	}
	if err != nil {
		return Ticket{}, fmt.Errorf("ticket %s: %w", id, err)
	}
	return t, nil
}

// Free yields the tickets that nobody holds, oldest first.
func (s *Service) Free(ctx context.Context) iter.Seq2[Ticket, error] {
	return s.store.Free(ctx)
}

// Condition says whether a version may be changed.
type Condition func(version int64) bool

// Update writes title and price and returns the ticket as stored. It returns
// ErrNotFound, ErrNotOwner, ErrReserved, or ErrConflict when somebody else
// changed the ticket meanwhile; the caller's words are then not applied. Where the
// version that the edit is made of does not meet all conditions, the error is
// ErrOtherVersion.
func (s *Service) Update(ctx context.Context, id, userID string, d Draft, on ...Condition) (Ticket, error) {
	return s.edit(ctx, id, userID, on, func(t *Ticket) { t.Title, t.Price = d.Title, d.Price })
}

// Delete hides the ticket from its users and keeps the record. Conditions and
// errors are those of Update.
func (s *Service) Delete(ctx context.Context, id, userID string, on ...Condition) error {
	_, err := s.edit(ctx, id, userID, on, func(t *Ticket) { t.Deleted = true })
	return err
}

// edit applies change to the ticket on behalf of its owner. A conflict is
// returned only if the ticket's version has moved; a guard that merely touched
// it costs another round.
func (s *Service) edit(ctx context.Context, id, userID string, on []Condition, change func(*Ticket)) (Ticket, error) {
	first := event.None
	for range maxDecisions {
		was, err := s.editable(ctx, id, userID)
		if err != nil {
			return Ticket{}, fmt.Errorf("edit ticket %s: %w", id, err)
		}
		if slices.ContainsFunc(on, func(met Condition) bool { return !met(was.Version) }) {
			return Ticket{}, fmt.Errorf("edit ticket %s: version %d: %w", id, was.Version, ErrOtherVersion)
		}
		if first == event.None {
			first = was.Version
		}
		if was.Version != first {
			return Ticket{}, fmt.Errorf("edit ticket %s: version %d became %d: %w", id, first, was.Version, ErrConflict)
		}
		now := was
		now.Version++
		change(&now)
		err = s.commit(ctx, &was, &now)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return Ticket{}, fmt.Errorf("edit ticket %s: %w", id, err)
		}
		return now, nil
	}
	return Ticket{}, fmt.Errorf("edit ticket %s: %w", id, ErrConflict)
}

// editable returns the ticket if userID may change it now. The order of the
// checks is part of the HTTP contract: found, owner, reserved.
func (s *Service) editable(ctx context.Context, id, userID string) (Ticket, error) {
	t, err := s.store.Ticket(ctx, id)
	switch {
	case err != nil:
		return Ticket{}, err
	case t.Deleted:
		return Ticket{}, ErrNotFound
	case t.UserID != userID:
		return Ticket{}, ErrNotOwner
	case t.OrderID != "":
		return Ticket{}, ErrReserved
	}
	return t, nil
}

// commit stores now in place of was, with its event and the lock changes that
// belong to it.
func (s *Service) commit(ctx context.Context, was, now *Ticket, locks ...LockChange) error {
	e, err := now.announce(s.now(), len(locks) > 0)
	if err != nil {
		return err
	}
	return s.store.Commit(ctx, Change{Was: was, Now: now, Locks: locks, Events: []event.Event{e}})
}
