package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/ticket"
)

var crowdCases = []testCase{
	{"of 8 racers on one version, one wins", crowdOneWinner},
	{"of 8 editors who name one version, one edits it and the others are told", crowdOneEditor},
	{"of 8 racers on one id, one creates it", crowdOneCreator},
	{"losers spoil nobody who commits beside them", crowdLosers},
	{"callers that give up store nothing and take nobody down", crowdGivesUp},
	{"a context that has ended stores nothing", crowdEnded},
	{"a change is seen by every read after its Commit", crowdReadsOwnWrites},
}

func crowdOneWinner(t *testing.T, b Backend) {
	was := create(t, b)
	for range 15 {
		errs := race(8, func(int) error {
			now := next(was)
			return b.Tickets.Commit(t.Context(), ticket.Change{Was: &was, Now: &now, Events: []event.Event{fact(now.ID, now.Version)}})
		})
		oneWinner(t, "racers on a version", errs, ticket.ErrConflict)
		was = load(t, b, was.ID)
	}
	checkVersions(t, b, was.ID)
}

// crowdOneEditor: the version that an editor names is the one that the change is
// made of, whoever comes in between. Case 11.8. Attack case 21.
func crowdOneEditor(t *testing.T, b Backend) {
	was := create(t, b)
	service := ticket.NewService(b.Tickets, ticket.Options{})
	for range 15 {
		errs := race(8, func(i int) error {
			_, err := service.Update(t.Context(), was.ID, was.UserID, ticket.Draft{Title: "edited", Price: float64(i + 1)}, func(version int64) bool { return version == was.Version })
			return err
		})
		winner := oneWinner(t, "editors of a version", errs, ticket.ErrOtherVersion)
		now := load(t, b, was.ID)
		same(t, "price and version", []any{now.Price, now.Version}, []any{float64(winner + 1), was.Version + 1})
		was = now
	}
	checkVersions(t, b, was.ID)
}

func crowdOneCreator(t *testing.T, b Backend) {
	for range 5 {
		made := newTicket()
		errs := race(8, func(i int) error {
			mine := made
			mine.Price = float64(i)
			return b.Tickets.Commit(t.Context(), ticket.Change{Now: &mine, Events: []event.Event{fact(made.ID, 0)}})
		})
		winner := oneWinner(t, "racers on an id", errs, ticket.ErrConflict)
		same(t, "price of the created ticket", load(t, b, made.ID).Price, float64(winner))
		checkVersions(t, b, made.ID)
	}
}

// crowdLosers lets every third writer lose, so that losers and winners share
// transactions.
func crowdLosers(t *testing.T, b Backend) {
	const n = 48
	was := make([]ticket.Ticket, n)
	for i := range was {
		was[i] = create(t, b)
	}
	for round := range 4 {
		errs := race(n, func(i int) error {
			seen := was[i]
			if i%3 == 0 {
				seen.Revision--
			}
			now := next(seen)
			return b.Tickets.Commit(t.Context(), ticket.Change{Was: &seen, Now: &now, Events: []event.Event{fact(now.ID, now.Version)}})
		})
		for i, err := range errs {
			got := load(t, b, was[i].ID)
			if i%3 == 0 {
				wants(t, "loser", err, ticket.ErrConflict)
				same(t, "the loser's ticket", got, was[i])
				continue
			}
			must(t, "winner", err)
			same(t, "version of the winner's ticket", got.Version, int64(round+1))
			was[i] = got
		}
	}
	for _, w := range was {
		checkVersions(t, b, w.ID)
	}
}

// crowdGivesUp cancels writers at every stage of their commit. A caller that
// got an error other than ErrUnknown must find nothing stored.
func crowdGivesUp(t *testing.T, b Backend) {
	const writers, rounds = 24, 6
	for range rounds {
		made := make([]ticket.Ticket, writers)
		for i := range made {
			made[i] = newTicket()
		}
		errs := race(writers, func(i int) error {
			ctx := t.Context()
			if i%2 == 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, rand.N(3*time.Millisecond))
				defer cancel()
			}
			return b.Tickets.Commit(ctx, ticket.Change{Now: &made[i], Events: []event.Event{fact(made[i].ID, 0)}})
		})
		create(t, b) // what was under way when its caller left has ended before this
		for i, err := range errs {
			if i%2 == 1 {
				must(t, "a patient caller", err)
			}
			_, stored := b.Tickets.Ticket(t.Context(), made[i].ID)
			_, announced := b.Outbox.Record(t.Context(), fact(made[i].ID, 0).ID())
			if (stored == nil) != (announced == nil) {
				t.Errorf("half a change: ticket %v, event %v", stored, announced)
			}
			if !errors.Is(err, ticket.ErrUnknown) && (err == nil) != (stored == nil) {
				t.Errorf("Commit said %v, reading says %v", err, stored)
			}
		}
	}
}

func crowdEnded(t *testing.T, b Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	made := newTicket()
	wants(t, "commit", b.Tickets.Commit(ctx, ticket.Change{Now: &made}), context.Canceled)
	_, err := b.Tickets.Ticket(t.Context(), made.ID)
	wants(t, "ticket", err, ticket.ErrNotFound)
}

func crowdReadsOwnWrites(t *testing.T, b Backend) {
	for _, err := range race(8, func(int) error {
		was := newTicket()
		if err := b.Tickets.Commit(t.Context(), ticket.Change{Now: &was}); err != nil {
			return err
		}
		for range 10 {
			was, err := b.Tickets.Ticket(t.Context(), was.ID)
			if err != nil {
				return err
			}
			now := next(was)
			if err := b.Tickets.Commit(t.Context(), ticket.Change{Was: &was, Now: &now}); err != nil {
				return err // the read before it was old
			}
		}
		return nil
	}) {
		must(t, "write what was read", err)
	}
}
